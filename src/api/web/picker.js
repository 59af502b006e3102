// The symbol search: a combobox, by keyboard as by mouse.

const SHOWN = 60;

export class Picker {
  constructor(input, list, load, choose) {
    Object.assign(this, { input, list, load, choose, symbols: [], active: -1, value: "" });
    input.addEventListener("focus", () => { input.select(); this.open(); });
    input.addEventListener("input", () => this.show());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.key(event));
    // Before the input loses the focus.
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.take(option.dataset.symbol);
    });
  }

  set(symbol) {
    this.value = symbol;
    if (document.activeElement !== this.input) this.input.value = symbol;
  }

  async open() {
    this.show("");
    this.symbols = await this.load();
    if (document.activeElement === this.input) this.show(this.input.value === this.value ? "" : undefined);
  }

  show(query = this.input.value) {
    const wanted = query.trim().toLowerCase();
    const found = this.symbols.filter(({ symbol }) => symbol.toLowerCase().includes(wanted));
    const begins = ({ symbol }) => symbol.toLowerCase().split(":").some((part) => part.startsWith(wanted));
    found.sort((a, b) => begins(b) - begins(a) || a.symbol.localeCompare(b.symbol));
    this.found = found.slice(0, SHOWN).map(({ symbol }) => symbol);
    this.list.replaceChildren(...this.found.map((symbol, at) => {
      const option = document.createElement("li");
      const [exchange, name] = symbol.includes(":") ? symbol.split(/:(.*)/) : ["", symbol];
      option.id = `symbol-${at}`;
      option.role = "option";
      option.dataset.symbol = symbol;
      option.append(text("b", name), text("span", exchange));
      option.ariaSelected = String(symbol === this.value);
      return option;
    }));
    if (!this.found.length && this.symbols.length) {
      const none = text("li", "No symbol like that");
      none.role = "option";
      none.ariaDisabled = "true";
      this.list.append(none);
    }
    this.list.hidden = !this.list.childElementCount;
    this.input.ariaExpanded = String(!this.list.hidden);
    this.mark(wanted && this.found.length ? 0 : this.found.indexOf(this.value));
  }

  mark(at) {
    this.active = at;
    [...this.list.children].forEach((option, index) => option.classList.toggle("active", index === at));
    const option = this.list.children[at];
    if (option) {
      this.input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else {
      this.input.removeAttribute("aria-activedescendant");
    }
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (this.list.hidden) return this.show("");
      const count = this.found.length;
      if (count) this.mark((this.active + step + count) % count);
    } else if (event.key === "Enter") {
      event.preventDefault();
      const symbol = this.found?.[this.active] ?? this.input.value.trim();
      if (symbol) this.take(symbol);
    } else if (event.key === "Escape") {
      this.input.value = this.value;
      this.input.blur();
    }
  }

  take(symbol) {
    this.value = symbol;
    this.input.value = symbol;
    this.input.blur();
    this.choose(symbol);
  }

  close() {
    this.list.hidden = true;
    this.input.ariaExpanded = "false";
    this.input.removeAttribute("aria-activedescendant");
    this.input.value = this.value;
  }
}

function text(name, content) {
  const element = document.createElement(name);
  element.textContent = content;
  return element;
}
