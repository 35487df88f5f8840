// The stage: slides over the whole window, worked by keys. Needs token_text.js. Everything is there from the start,
// so that it goes on when the server is gone; what anybody wrote is set as text.

const SPEEDS = [2, 5, 10, 20, 40, 80, 160];
const STILL = window.matchMedia("(prefers-reduced-motion: reduce)");
const HELP = [
  ["← →", "previous, next"], ["Space", "write the text again, token by token; pause"], ["+ −", "faster, slower"],
  ["Home End", "nothing written, all of it"], ["↑ ↓", "scroll"], ["D", "light, dark"], ["B", "blank"],
  ["F", "full screen"], ["Esc", "leave"],
];

const INVITE = "QR code and address for the room";

class StageLane {
  constructor() {
    this.root = element("section", "lane");
    this.title = element("h3");
    this.subtitle = element("span", "subtitle");
    this.box = element("div", "text tokens");
    this.note = element("p", "note");
    const head = element("header");
    head.append(this.title, this.subtitle);
    this.root.append(head, this.box, this.note);
    Object.assign(this, { nodes: [], pieces: [] });
  }

  update(lane) {
    this.title.textContent = lane.title;
    this.subtitle.textContent = lane.subtitle;
    this.note.textContent = lane.note;
    this.root.setAttribute("aria-label", lane.title);
    let kept = 0;
    while (kept < lane.pieces.length && this.pieces[kept] === lane.pieces[kept]) kept += 1;
    for (const node of this.nodes.splice(kept)) node.remove();
    for (let i = kept; i < lane.pieces.length; i += 1) {
      const node = element("span", "t");
      fillToken(node, lane.pieces[i], lane.lengths[i]);
      this.nodes.push(node);
    }
    this.box.append(...this.nodes.slice(kept));
    this.pieces = lane.pieces;
    const keywords = new Set(lane.highlights);
    this.nodes.forEach((node, i) => {
      node.classList.toggle("keyword", keywords.has(i));
      node.classList.toggle("diverged", i === lane.diverged);
    });
  }

  show(count) {
    this.nodes.forEach((node, i) => { if (node.hidden !== i >= count) node.hidden = i >= count; });
    this.note.hidden = count < this.nodes.length;
  }
}

// Slide bodies: each draws into the stage and says how many tokens there are to write.
const BODIES = {
  lanes(stage, slide) {
    stage.body.dataset.lanes = slide.lanes.length;
    while (stage.lanes.length > slide.lanes.length) stage.lanes.pop().root.remove();
    while (stage.lanes.length < slide.lanes.length) {
      stage.lanes.push(new StageLane());
      stage.body.append(stage.lanes.at(-1).root);
    }
    slide.lanes.forEach((lane, i) => stage.lanes[i].update(lane));
  },
  figure(stage, slide) {
    const dark = stage.root.dataset.theme === "dark";
    const figure = element("figure");
    const row = element("div", "pictures");
    for (const svg of slide.pictures) {
      const image = element("img");
      const drawn = dark ? stage.data.dark.reduce((text, [from, to]) => text.replaceAll(from, to), svg) : svg;
      image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawn)}`;
      image.alt = slide.title;
      row.append(image);
    }
    figure.append(row, element("figcaption", "", slide.sentence));
    stage.body.replaceChildren(figure);
  },
  said(stage, slide) {
    const room = element("div", "said");
    room.append(element("p", "", slide.text));
    if (slide.action) {
      const button = element("button", "", slide.action);
      button.type = "button";
      button.addEventListener("click", () => stage.send("act", slide.name));
      room.append(button);
    }
    stage.body.replaceChildren(room);
  },
};

class Stage {
  constructor(host) {
    Object.assign(this, { at: 0, speed: 3, lanes: [], shown: Infinity, frame: 0, began: 0, kind: "" });
    this.root = element("dialog", "stage");
    this.root.tabIndex = -1;
    this.head = element("div", "head");
    this.body = element("div", "body");
    this.title = element("p", "title");
    this.question = element("h2", "question");
    this.badge = element("span", "badge");
    this.place = element("span", "place");
    this.toast = element("div", "toast");
    this.toast.setAttribute("role", "status");
    this.invite = element("div", "invite");
    this.blank = element("div", "blank");
    this.help = this.#makeHelp();
    const words = element("div", "words");
    words.append(this.title, this.question);
    const facts = element("div", "facts");
    facts.append(this.badge, this.place);
    this.head.append(words, facts);
    this.fingers = this.#makeButtons();
    this.root.append(this.head, this.body, this.fingers, this.toast, this.help, this.invite, this.blank);
    for (const cover of [this.invite, this.blank]) cover.hidden = true;
    host.append(this.root);
    this.root.addEventListener("cancel", (event) => { event.preventDefault(); this.leave(); });
    this.onKey = (event) => this.#onKey(event);
    this.onResize = () => this.#fit();
    // A full screen covers what was on top before it.
    this.onFull = () => { if (this.root.open) { this.root.close(); this.root.showModal(); this.root.focus(); this.#fit(); } };
    window.addEventListener("keydown", this.onKey, true);
    window.addEventListener("resize", this.onResize);
    document.addEventListener("fullscreenchange", this.onFull);
  }

  remove() {
    this.#stop();
    window.removeEventListener("keydown", this.onKey, true);
    window.removeEventListener("resize", this.onResize);
    document.removeEventListener("fullscreenchange", this.onFull);
    this.root.remove();
  }

  update(data, send) {
    const begins = this.data?.begun !== data.begun;
    Object.assign(this, { data, send });
    this.#drawInvite(data.invite);
    if (begins) {
      Object.assign(this, { at: data.start, speed: this.before?.speed ?? this.speed });
      this.root.dataset.theme = this.before?.theme ?? data.theme;
      this.open(this.before?.at ?? data.start);
      this.before = undefined;
    } else if (this.root.open) {
      this.#draw({ same: true });
    }
  }

  open(at = this.at) {
    Object.assign(this, { at, left: false });
    if (!this.root.open) this.root.showModal();
    this.root.focus();
    this.#draw();
  }

  leave() {
    this.#stop();
    this.left = true;
    if (document.fullscreenElement) document.exitFullscreen();
    this.root.close();
    // Here and not on the server: what the browser asks next must not ask for the slides again.
    const address = new URL(location.href);
    if (["present", "stage"].some((name) => address.searchParams.has(name))) {
      for (const name of ["present", "stage"]) address.searchParams.delete(name);
      history.replaceState(history.state, "", address);
    }
    this.send("leave", true);
  }

  // Give place and looks to the stage that takes over, unless the speaker has left this one.
  handOver(next) {
    if (this.root.isConnected || !this.data || this.left) return;
    next.before = { at: this.at, theme: this.root.dataset.theme, speed: this.speed };
    this.remove();
  }

  get slide() {
    return this.data.slides[this.at];
  }

  get total() {
    return Math.max(0, ...this.lanes.map((lane) => lane.nodes.length));
  }

  #draw({ same = false } = {}) {
    this.at = Math.max(0, Math.min(this.at, this.data.slides.length - 1));
    const slide = this.slide;
    if (!same) this.#stop();
    if (!same || slide.kind !== "lanes" || this.kind !== "lanes") {
      this.lanes = [];
      this.body.replaceChildren();
      delete this.body.dataset.lanes;
    }
    this.kind = slide.kind;
    this.body.dataset.kind = slide.kind;
    this.root.setAttribute("aria-label", slide.title || slide.question || "Slide");
    this.question.textContent = slide.question || slide.title;
    this.title.textContent = slide.question && slide.title !== slide.question ? slide.title : "";
    this.badge.textContent = slide.badge;
    this.badge.dataset.badge = slide.badge.split(" ")[0];
    this.place.textContent = this.data.slides.length > 1 ? `${this.at + 1} / ${this.data.slides.length}` : "";
    BODIES[slide.kind](this, slide);
    if (!same) this.shown = Infinity;
    this.#show();
    this.#fit();
    const growing = slide.live && this.shown === Infinity;
    for (const lane of this.lanes) lane.box.scrollTop = growing ? lane.box.scrollHeight : same ? lane.box.scrollTop : 0;
  }

  // The larger letters where all of the text fits, else the smaller ones.
  #fit() {
    this.root.classList.remove("tight");
    const over = (node) => node.scrollHeight > node.clientHeight + 1;
    if (over(this.head) || this.lanes.some((lane) => this.#whole(lane, over))) this.root.classList.add("tight");
  }

  #whole(lane, ask) {
    lane.show(Infinity);
    const answer = ask(lane.box);
    lane.show(this.shown);
    return answer;
  }

  #show() {
    for (const lane of this.lanes) {
      lane.show(this.shown);
      if (this.frame) lane.box.scrollTop = lane.box.scrollHeight;
    }
  }

  #stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.root.classList.remove("writing");
  }

  #play() {
    if (this.kind !== "lanes" || this.slide.live) return;
    if (this.frame) return this.#stop();
    if (STILL.matches) return this.#reveal(Infinity);
    let from = this.shown >= this.total ? 0 : this.shown;
    let before;
    const step = (now) => {
      from += ((now - (before ?? now)) / 1000) * SPEEDS[this.speed];
      before = now;
      this.shown = Math.floor(from);
      if (this.shown >= this.total) this.shown = Infinity;
      this.#show();
      if (this.shown === Infinity) return this.#stop();
      this.frame = requestAnimationFrame(step);
    };
    this.root.classList.add("writing");
    this.shown = Math.floor(from);
    this.frame = requestAnimationFrame(step);
    this.#show();
  }

  #reveal(count) {
    this.#stop();
    this.shown = count;
    this.#show();
    for (const lane of this.lanes) lane.box.scrollTop = 0;
  }

  #faster(by) {
    this.speed = Math.max(0, Math.min(SPEEDS.length - 1, this.speed + by));
    this.#say(`${SPEEDS[this.speed]} tokens per second`);
  }

  #say(words) {
    this.toast.textContent = words;
    clearTimeout(this.forget);
    this.forget = setTimeout(() => { this.toast.textContent = ""; }, 1600);
  }

  #go(by) {
    this.blank.hidden = this.invite.hidden = true;
    const to = Math.max(0, Math.min(this.data.slides.length - 1, this.at + by));
    if (to !== this.at) this.open(to);
  }

  #scroll(by) {
    for (const box of this.body.querySelectorAll(".text, .said")) box.scrollTop += by * box.clientHeight * 0.4;
  }

  #turn() {
    this.root.dataset.theme = this.root.dataset.theme === "dark" ? "light" : "dark";
    if (this.kind === "figure") BODIES.figure(this, this.slide);
  }

  #full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else document.documentElement.requestFullscreen?.().catch(() => this.#say("This browser allows no full screen."));
  }

  #onKey(event) {
    if (!this.root.isConnected) return this.remove();
    if (!this.root.open || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = {
      ArrowRight: () => this.#go(1), PageDown: () => this.#go(1), ArrowLeft: () => this.#go(-1),
      PageUp: () => this.#go(-1), ArrowDown: () => this.#scroll(1), ArrowUp: () => this.#scroll(-1),
      " ": () => this.#play(), "+": () => this.#faster(1), "=": () => this.#faster(1), "-": () => this.#faster(-1),
      "−": () => this.#faster(-1), Home: () => this.#reveal(0), End: () => this.#reveal(Infinity),
      d: () => this.#turn(), b: () => { this.blank.hidden = !this.blank.hidden; }, f: () => this.#full(),
      ...(this.data.invite && { q: () => { this.invite.hidden = !this.invite.hidden; } }),
      "?": () => { this.help.hidden = !this.help.hidden; },
      Escape: () => {
        const over = [this.help, this.invite].find((cover) => !cover.hidden);
        if (over) over.hidden = true; else this.leave();
      },
    };
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const onButton = event.composedPath()[0]?.tagName === "BUTTON" && [" ", "Enter"].includes(key);
    if (key === "Tab" || onButton) return;
    event.stopImmediatePropagation();
    if (!(key in moves)) return;
    event.preventDefault();
    if (!event.repeat || !["b", "d", "f", "q", " "].includes(key)) moves[key]();
  }

  #makeHelp() {
    const help = element("dl", "help");
    help.hidden = true;
    for (const [keys, does] of HELP) help.append(element("dt", "", keys), element("dd", "", does));
    return help;
  }

  // How the room gets in: black on white in both themes, so that every camera reads it from the last row.
  #drawInvite(found) {
    if (this.invited === JSON.stringify(found)) return;
    this.invited = JSON.stringify(found);
    if (!found) {
      this.invite.hidden = true;
      return;
    }
    if (!this.invite.firstChild) this.#offerInvite();
    const parts = [element("p", "address", found.address), element("p", "", found.words)];
    if (found.code) {
      const code = element("img");
      code.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(found.code)}`;
      code.alt = `QR code of ${found.address}`;
      parts.unshift(code);
    }
    this.invite.replaceChildren(...parts);
  }

  #offerInvite() {
    this.help.append(element("dt", "", "Q"), element("dd", "", INVITE));
    this.fingers.prepend(this.#button("QR", INVITE, () => { this.invite.hidden = false; }));
    this.invite.addEventListener("click", () => { this.invite.hidden = true; });
  }

  // For fingers alone: where there are keys and a pointer, nothing but the slide is seen.
  #makeButtons() {
    const bar = element("div", "fingers");
    const acts = [["‹", "Previous", () => this.#go(-1)], ["▶", "Write the text again", () => this.#play()],
      ["›", "Next", () => this.#go(1)], ["✕", "Leave", () => this.leave()]];
    bar.append(...acts.map((act) => this.#button(...act)));
    return bar;
  }

  #button(sign, name, act) {
    const button = element("button", "", sign);
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.addEventListener("click", act);
    return button;
  }
}

// Where the page draws the component anew in mid-talk, the talk goes on where it was.
let latest = null;

export default function ({ data, parentElement, setTriggerValue }) {
  if (!parentElement.stage) {
    parentElement.stage = new Stage(parentElement);
    latest?.handOver(parentElement.stage);
    latest = parentElement.stage;
  }
  parentElement.stage.update(data, (name, value) => setTriggerValue(name, value));
}
