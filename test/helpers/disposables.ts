/** What is to be disposed of together, the last first: as AsyncDisposableStack, which Node 22 does not have. */
export class Disposables implements AsyncDisposable {
  readonly #items: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(item: T): T {
    this.#items.push(item);
    return item;
  }

  async disposeAsync(): Promise<void> {
    for (let item = this.#items.pop(); item !== undefined; item = this.#items.pop()) {
      await item[Symbol.asyncDispose]();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync();
  }
}
