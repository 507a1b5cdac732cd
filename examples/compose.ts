// Several filters in one process, in order. Each sees the message as it was received; what they ask for adds up.
import { compose, type MilterClass } from 'libmilter';
import AddHeader from './add-header.ts';
import BodyLimit from './body-limit.ts';
import RecipientGate from './recipient-gate.ts';

const Filter: MilterClass = compose(RecipientGate, BodyLimit, AddHeader);
export default Filter;
