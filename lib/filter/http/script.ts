/** The little script that makes the pages handier: they work without it. */
export const SCRIPT = `'use strict';
const notice = document.getElementById('notice');
if (notice) notice.focus({ preventScroll: true });

const two = (number) => String(number).padStart(2, '0');
for (const time of document.querySelectorAll('time[datetime]')) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.getTime())) continue;
  time.title = time.textContent;
  time.textContent = at.getFullYear() + '-' + two(at.getMonth() + 1) + '-' + two(at.getDate()) + ' ' + two(at.getHours()) + ':' + two(at.getMinutes());
}

const all = document.querySelector('[data-select-all]');
if (all) {
  const boxes = [...document.querySelectorAll('input[name="id"]')];
  const chosen = document.querySelector('[data-chosen]');
  const show = () => {
    const count = boxes.filter((box) => box.checked).length;
    all.checked = count > 0 && count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    if (chosen) chosen.textContent = count === 0 ? 'Nothing is selected.' : count + ' selected.';
  };
  all.closest('[hidden]').hidden = false;
  all.addEventListener('change', () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener('change', show);
  show();
}

for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener('submit', (event) => {
    const question = event.submitter && event.submitter.dataset.ask;
    if (question && !confirm(question)) {
      event.preventDefault();
      return;
    }
    // Once is enough; what was pressed is sent with the form, so it is switched off after that.
    setTimeout(() => {
      for (const button of form.querySelectorAll('button')) button.disabled = true;
    });
  });
}
// Going back shows the page as it was left.
addEventListener('pageshow', () => {
  for (const button of document.querySelectorAll('button')) button.disabled = false;
});
`;
