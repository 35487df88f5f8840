// Lanes: two to four completions side by side, redrawn while they grow. Needs token_text.js and lanes_picture.js.

const STATE_TEXT = {
  queued: "queued", running: "running", done: "done", cancelled: "stopped", interrupted: "interrupted",
  error: "failed", timeout: "out of time",
};

// Pixels: of the only row of lanes, of each of several rows, of each lane in one column.
const LEAST = { one: 190, rows: 190, stacked: 300 };

class LaneView {
  constructor(index, callbacks) {
    this.root = element("section", "lane");
    this.title = element("h4");
    this.subtitle = element("div", "subtitle");
    this.badge = element("span", "badge");
    this.state = element("span", "state");
    this.box = element("div", "tokens");
    this.note = element("div", "note");
    const head = element("header");
    const words = element("div", "words");
    words.append(this.title, this.subtitle);
    const facts = element("div", "facts");
    facts.append(this.badge, this.state);
    head.append(words, facts);
    this.root.append(head, this.note, this.box);
    this.list = new TokenList(this.box, `lane${index}-token`, {
      onMove: (token, byKey) => byKey && this.#label(token),
      onPin: (token) => callbacks.onPin(index, token),
    });
  }

  update(lane, height) {
    const wasGoing = this.lane?.state === "running";
    const atEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 32;
    this.box.style.flexBasis = height === null ? "0" : `${height}px`;
    this.title.textContent = lane.title;
    this.subtitle.textContent = lane.subtitle;
    this.badge.textContent = lane.badge;
    this.badge.dataset.badge = lane.badge;
    this.root.dataset.state = lane.state;
    this.state.textContent = `${STATE_TEXT[lane.state]} · ${lane.pieces.length} ${lane.unit}`;
    this.note.textContent = lane.note;
    this.box.setAttribute("aria-label", `${lane.title}, ${lane.subtitle}`);
    this.lane = lane;
    const before = this.list.pieces.length;
    const kept = this.list.sync(lane.pieces, { lengths: lane.lengths });
    this.list.starts = sentenceStarts(lane.pieces);
    this.#mark();
    if (kept < before && kept === 0) this.box.scrollTop = 0;
    if (height === null && wasGoing && lane.state === "done" && atEnd) this.box.scrollTop = 0;
    else if (atEnd && ["running", "queued"].includes(lane.state)) this.box.scrollTop = this.box.scrollHeight;
    else if (atEnd && before > 0 && kept === before && lane.pieces.length > before) {
      this.box.scrollTop = this.box.scrollHeight;
    }
  }

  #mark() {
    const keywords = new Set(this.lane.highlights);
    const values = this.lane.values ?? [];
    const top = Math.max(1, ...values);
    this.root.classList.toggle("valued", values.length > 0);
    this.list.nodes.forEach((node, i) => {
      node.classList.toggle("keyword", keywords.has(i));
      node.classList.toggle("diverged", i === this.lane.diverged);
      const told = [];
      if (i === this.lane.diverged) told.push("First token that differs");
      if (values[i] !== undefined) {
        told.push(`${this.lane.valueName} ${values[i]} nats`);
        node.style.setProperty("--value", Math.sqrt(values[i] / top).toFixed(3));
      } else if (values.length === 0) {
        node.style.removeProperty("--value");
      }
      if (node.title !== told.join(" · ")) node.title = told.join(" · ");
    });
  }

  #label(token) {
    const words = [quoted(this.lane.pieces[token]), `token ${token}`];
    if (this.lane.highlights.includes(token)) words.push("keyword");
    if (token === this.lane.diverged) words.push("first token that differs");
    if (this.lane.values?.[token] !== undefined) words.push(`${this.lane.valueName} ${this.lane.values[token]} nats`);
    this.list.node(token)?.setAttribute("aria-label", words.join(", "));
  }
}

class LanesView {
  constructor(host) {
    this.root = element("div", "lanes");
    this.lanes = [];
    const room = element("div", "room");
    this.picture = element("button", "picture", "Save as picture (PNG)");
    this.picture.type = "button";
    this.picture.addEventListener("click", () => savePicture(this.data.lanes, this.root));
    room.append(this.root, this.picture);
    host.append(room);
  }

  update(data, send) {
    Object.assign(this, { data, send });
    this.picture.hidden = !data.picture;
    this.root.classList.toggle("stage", data.size === "stage");
    this.root.classList.toggle("compact", data.size === "compact");
    this.root.dataset.lanes = data.lanes.length;
    while (this.lanes.length > data.lanes.length) this.lanes.pop().root.remove();
    while (this.lanes.length < data.lanes.length) {
      const lane = new LaneView(this.lanes.length, { onPin: (...pin) => this.#onPin(...pin) });
      this.lanes.push(lane);
      this.root.append(lane.root);
    }
    const fills = data.below !== null && data.below !== undefined;
    this.root.classList.toggle("fill", fills);
    data.lanes.forEach((lane, i) => this.lanes[i].update(lane, fills ? null : data.height));
    this.#fill();
    if (this.jump !== data.jump) this.#draw(...(data.pinned ?? [null, null]));
    this.jump = data.jump;
  }

  // As high as the window leaves room for, whatever stands above; each row of lanes at least as high as a few lines.
  #fill() {
    if (!this.root.classList.contains("fill")) {
      this.root.style.height = "";
      return;
    }
    this.#watch();
    const page = document.querySelector("[data-testid=stMain]") ?? document.scrollingElement;
    const top = this.root.getBoundingClientRect().top + page.scrollTop;
    const columns = getComputedStyle(this.root).gridTemplateColumns.split(" ").length;
    const rows = Math.ceil(this.lanes.length / columns);
    const least = rows * (rows === 1 ? LEAST.one : columns > 1 ? LEAST.rows : LEAST.stacked);
    const height = `${Math.max(least, Math.floor(window.innerHeight - top - this.data.below))}px`;
    if (this.root.style.height !== height) this.root.style.height = height;
  }

  // What stands above may grow, the window may change: the lanes follow, until they are taken off the page.
  #watch() {
    if (this.watching) return;
    this.watching = true;
    const page = document.querySelector("[data-testid=stMainBlockContainer]") ?? document.body;
    const seen = new ResizeObserver(() => follow());
    const follow = () => {
      if (this.root.isConnected) this.#fill();
      else {
        seen.disconnect();
        window.removeEventListener("resize", follow);
        this.watching = false;
      }
    };
    [page, ...page.querySelectorAll(".stVerticalBlock, .stHorizontalBlock")].forEach((node) => seen.observe(node));
    window.addEventListener("resize", follow);
  }

  #draw(lane, token) {
    this.lanes.forEach((view, i) => view.list.setPinned(i === lane ? token : null));
    if (lane !== null) this.lanes[lane]?.list.reveal(token);
  }

  #onPin(lane, token) {
    this.#draw(token === null ? null : lane, token);
    this.send(lane, token);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.tokenLanes ??= new LanesView(parentElement);
  parentElement.tokenLanes.update(data, (lane, token) => setTriggerValue("pin", { lane, token }));
}
