// The token strip: one text, coloured by one reading, with parts, events, window and keywords marked.
// Colours live in the style sheet; this file sets a magnitude from 0 to 1 and names. Needs token_text.js before it.

const PAGE = 6000;

function setData(node, name, value) {
  if (value === undefined) delete node.dataset[name];
  else if (node.dataset[name] !== value) node.dataset[name] = value;
}

function formatted(value, signed) {
  const text = String(Number(Math.abs(value).toPrecision(3)));
  if (value < 0) return `−${text}`;
  return signed && value > 0 ? `+${text}` : text;
}

function swatch(text, name, value) {
  const item = element("span", "entry");
  const sample = element("span", "sample", "ab");
  sample.dataset[name] = value;
  sample.setAttribute("aria-hidden", "true");
  item.append(sample, element("span", "", text));
  return item;
}

class StripView {
  constructor(host) {
    this.root = element("section", "strip");
    this.legend = element("div", "legend");
    this.box = element("div", "tokens");
    this.status = element("div", "status");
    this.status.setAttribute("role", "status");
    this.pager = element("div", "pager");
    this.tip = element("div", "tip");
    this.tip.setAttribute("aria-hidden", "true");
    this.root.append(this.legend, this.box, this.pager, this.status, this.tip);
    host.append(this.root);
    this.list = new TokenList(this.box, "token", {
      onMove: (index, byKey) => this.#onMove(index, byKey),
      onPin: (index) => this.#onPin(index),
      onLeave: () => this.#hideTip(),
    });
    this.box.addEventListener("scroll", () => this.#hideTip(), { passive: true });
    this.box.addEventListener("blur", () => this.#hideTip());
    this.#buildPager();
    this.page = 0;
    this.data = null;
  }

  update(data, send) {
    const before = this.data;
    this.data = data;
    this.send = send;
    if (before?.stamp !== data.stamp) this.#draw(before);
    else if (before.jump !== data.jump) this.#jump(data.pinned);
    this.#drawStatus();
  }

  #draw(before) {
    const { data } = this;
    this.root.classList.toggle("stage", data.size === "stage");
    this.box.style.maxHeight = data.height ? `${data.height}px` : "";
    this.box.setAttribute("aria-label", data.label);
    const sameText = before?.pieces.length === data.pieces.length && this.#sameWords(before.pieces);
    if (!sameText) this.page = 0;
    this.#index();
    this.#showPage(this.page);
    this.#drawLegend();
    if (!sameText || before.jump !== data.jump) this.#jump(data.pinned);
  }

  #sameWords(pieces) {
    return pieces.every((piece, i) => piece === this.data.pieces[i]);
  }

  #index() {
    const { events, window: tinted, keywords, parts, pieces } = this.data;
    this.events = new Set(events);
    this.window = new Set(tinted);
    this.keywords = new Set(keywords);
    this.list.starts = sentenceStarts(pieces, parts.map((part) => part[0]));
    this.partOf = new Int16Array(pieces.length).fill(-1);
    for (const [start, end, label] of parts) this.partOf.fill(label, start, end);
  }

  #showPage(page) {
    const total = this.data.pieces.length;
    this.page = Math.max(0, Math.min(page, Math.ceil(total / PAGE) - 1));
    const offset = this.page * PAGE;
    const shown = total <= PAGE ? this.data.pieces : this.data.pieces.slice(offset, offset + PAGE);
    this.list.sync(shown, { lengths: this.data.lengths, offset, total });
    this.list.nodes.forEach((node, i) => this.#paint(node, offset + i));
    this.list.setPinned(this.list.pinned);
    this.pager.hidden = total <= PAGE;
    const last = Math.min(offset + PAGE, total);
    this.pagerText.textContent = `Tokens ${offset} to ${last - 1} of ${total.toLocaleString("en")}`;
    this.previous.disabled = this.page === 0;
    this.next.disabled = last === total;
  }

  #paint(node, i) {
    const { values, low, high, start, labels } = this.data;
    const value = values?.[i] ?? null;
    const share = value === null ? 0 : Math.min(1, value / (value < 0 ? low || -high : high) || 0);
    setData(node, "sign", share === 0 ? undefined : value < 0 ? "minus" : "plus");
    const magnitude = share === 0 ? "" : share.toFixed(3);
    if (node.style.getPropertyValue("--m") !== magnitude) node.style.setProperty("--m", magnitude);
    setData(node, "part", labels[this.partOf[i]]?.[1]);
    setData(node, "mark", this.events.has(i) ? "event" : this.keywords.has(i) ? "keyword" : undefined);
    setData(node, "window", this.#windowPlace(i));
    setData(node, "prompt", i < start ? "" : undefined);
  }

  #windowPlace(i) {
    if (!this.window.has(i)) return undefined;
    const [left, right] = [this.window.has(i - 1), this.window.has(i + 1)];
    return left && right ? "middle" : left ? "last" : right ? "first" : "only";
  }

  #jump(index) {
    this.list.cursor = null;
    if (index !== null) this.#showPage(Math.floor(index / PAGE));
    this.list.setPinned(index);
    if (index === null) this.box.scrollTop = 0;
    else this.list.reveal(index);
  }

  #onMove(index, byKey) {
    if (byKey && Math.floor(index / PAGE) !== this.page) this.#showPage(Math.floor(index / PAGE));
    const node = this.list.node(index);
    if (byKey) {
      node.setAttribute("aria-label", this.#describe(index).join(", "));
      node.scrollIntoView({ block: "nearest" });
    }
    this.tip.replaceChildren(...this.#describe(index).map((line) => element("div", "", line)));
    this.#placeTip(node);
  }

  #onPin(index) {
    this.list.setPinned(index);
    this.#drawStatus();
    this.send(index);
  }

  #describe(i) {
    const { values, name, unit, low, start, labels } = this.data;
    const lines = [quoted(this.data.pieces[i])];
    const value = values?.[i] ?? null;
    if (name) lines.push(`${name}: ${value === null ? "no value" : `${formatted(value, low < 0)} ${unit}`.trim()}`);
    const place = i < start ? " (in the prompt)" : start ? ` (${i - start} of the text)` : "";
    lines.push(`token ${i}${place}`);
    const label = labels[this.partOf[i]];
    if (label) lines.push(label[0]);
    if (this.events.has(i)) lines.push("event");
    if (this.window.has(i)) lines.push("in the window");
    if (this.keywords.has(i)) lines.push("keyword");
    return lines;
  }

  #drawStatus() {
    const pinned = this.list.pinned;
    const hint = "Click a token to pin it. Keys: arrows move, up and down by sentence, Enter pins, Esc lets go.";
    const text = pinned === null ? hint : `Pinned: ${this.#describe(pinned).join(" · ")}`;
    if (this.status.textContent !== text) this.status.textContent = text;
    this.status.classList.toggle("hint", pinned === null);
  }

  #placeTip(node) {
    this.tip.classList.add("shown");
    const outer = this.root.getBoundingClientRect();
    const line = node.getClientRects()[0] ?? node.getBoundingClientRect();
    const tip = this.tip.getBoundingClientRect();
    const left = Math.min(line.left - outer.left, outer.width - tip.width - 4);
    const above = line.top - outer.top - tip.height - 6;
    const top = line.top - tip.height - 6 < 60 ? line.bottom - outer.top + 8 : above;
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${top}px)`;
  }

  #hideTip() {
    this.tip.classList.remove("shown");
  }

  #buildPager() {
    this.previous = element("button", "", "‹ Previous");
    this.next = element("button", "", "Next ›");
    this.pagerText = element("span");
    this.previous.addEventListener("click", () => this.#turn(-1));
    this.next.addEventListener("click", () => this.#turn(1));
    this.pager.append(this.previous, this.pagerText, this.next);
  }

  #turn(step) {
    this.list.cursor = null;
    this.#showPage(this.page + step);
    this.box.scrollTop = 0;
  }

  #drawLegend() {
    const { name, unit, low, high, labels, start } = this.data;
    const stamp = JSON.stringify([name, unit, low, high, labels, start > 0, ...this.#marks()]);
    if (this.stamp === stamp) return;
    this.stamp = stamp;
    this.legend.replaceChildren();
    if (name) this.legend.append(this.#scale(name, unit, low, high));
    for (const [label, style] of labels) this.legend.append(swatch(label, "part", style));
    if (this.events.size) this.legend.append(swatch("event", "mark", "event"));
    if (this.window.size) this.legend.append(swatch("window", "window", "only"));
    if (this.keywords.size) this.legend.append(swatch("keyword", "mark", "keyword"));
    if (start > 0) this.legend.append(swatch("prompt", "prompt", ""));
  }

  #marks() {
    return [this.events.size > 0, this.window.size > 0, this.keywords.size > 0];
  }

  #scale(name, unit, low, high) {
    const scale = element("span", "entry scale");
    const bar = element("span", "bar");
    bar.style.setProperty("--zero", `${(-low / (high - low)) * 100}%`);
    const title = element("strong", "", unit ? `${name} (${unit})` : name);
    scale.append(title, element("span", "", formatted(low, true)), bar, element("span", "", formatted(high, low < 0)));
    return scale;
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.tokenStrip ??= new StripView(parentElement);
  parentElement.tokenStrip.update(data, (token) => setTriggerValue("pin", { token }));
}
