/** The page: sentences, what is found for them, and the map. */

import { get, post } from "./api.js";
import { SceneMap } from "./map.js";
import { SentenceCard } from "./sentence.js";

const POLL_MS = 400;
const byId = (id) => document.getElementById(id);

class Page {
  constructor(scene) {
    this.scene = scene;
    this.cards = new Map(); // by number
    this.state = null;
    this.chosen = null; // { number, id }
    this.open = null; // number of the sentence whose list is shown
    byId("loading").textContent = scene.is_slow
      ? "Reading the map. The file has no overviews, so the first look reads all of it once."
      : "Reading the map…";
    this.map = new SceneMap(byId("map"), scene, {
      onMove: () => this.viewChanged(),
      onLoading: (isLoading) => { byId("loading").hidden = !isLoading; },
      onPick: (number, id, bounds) => this.choose(number, id, bounds, { fly: true, focus: false }),
    });
    byId("scene-name").textContent = scene.name;
    byId("scene-facts").textContent =
      `${scene.width.toLocaleString("en")} × ${scene.height.toLocaleString("en")} pixels of ${scene.pixel} · ${scene.crs}`;
    byId("file").value = scene.file;
    this.listen();
  }

  listen() {
    byId("ask").addEventListener("submit", (event) => { event.preventDefault(); this.find(this.map.view()); });
    byId("everywhere").addEventListener("click", () => this.find(null));
    byId("text").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && event.shiftKey) { event.preventDefault(); this.find(null); }
    });
    byId("stop").addEventListener("click", () => this.change("stop"));
    byId("save").addEventListener("submit", (event) => { event.preventDefault(); this.save(false); });
    byId("replace").addEventListener("click", () => this.save(true));
    byId("file").addEventListener("input", () => { byId("replace").hidden = true; });
    document.addEventListener("keydown", (event) => this.key(event));
    for (const id of ["in-view", "everywhere"]) byId(id).disabled = false;
  }

  key(event) {
    const isTyping = event.target.matches("input[type=text]");
    if (event.key === "Escape" && this.state?.running !== null) this.change("stop");
    else if (event.key === "/" && !isTyping) { event.preventDefault(); byId("text").select(); }
    else if (event.key === "x" && !isTyping && this.chosen) this.cards.get(this.chosen.number)?.toggle(this.chosen.id);
  }

  tell(error) {
    byId("alert").hidden = !error;
    byId("alert").textContent = error?.message ?? "";
  }

  /** Change something on the server, and show what it answers. */
  async change(name, values = {}) {
    try {
      this.show(await post(name, values));
      this.tell(null);
      return true;
    } catch (error) {
      this.tell(error);
      return false;
    } finally {
      this.poll();
    }
  }

  async find(view) {
    const text = byId("text").value;
    try {
      const { number, state } = await post("find", { text, view });
      this.open = number;
      this.show(state);
      this.tell(null);
    } catch (error) {
      this.tell(error);
    }
    this.poll();
  }

  /** Ask for the state now, and again while something is being done. */
  async poll() {
    clearTimeout(this.timer);
    try {
      this.show(await get("state"));
    } catch (error) {
      this.tell(error);
      return;
    }
    clearTimeout(this.timer);
    if (this.state.is_busy) this.timer = setTimeout(() => this.poll(), POLL_MS);
  }

  show(state) {
    this.state = state;
    if (state.model_error) this.tell(new Error(state.model_error));
    this.showWork(state);
    for (const number of this.cards.keys()) {
      if (!state.sentences.some((each) => each.number === number)) this.forget(number);
    }
    for (const sentence of state.sentences) {
      if (!this.cards.has(sentence.number)) this.add(sentence);
      this.cards.get(sentence.number).show(sentence);
    }
    byId("save").hidden = !state.sentences.some((each) => each.share > 0);
    this.openCard(this.open ?? state.sentences.at(-1)?.number);
    this.showCost();
  }

  showWork({ running, windows: [done, total], n_waiting, is_model_loaded, model_error, sentences }) {
    const isWaiting = running !== null || n_waiting > 0;
    byId("work").hidden = !isWaiting || Boolean(model_error);
    const sentence = sentences.find((each) => each.number === running);
    byId("doing").textContent = !is_model_loaded
      ? "Loading the model…"
      : `“${sentence?.expression ?? ""}”: window ${done} of ${total}${n_waiting ? `, ${n_waiting} more to do` : ""}`;
    const bar = byId("bar");
    if (is_model_loaded && total) { bar.max = total; bar.value = done; } else bar.removeAttribute("value");
  }

  showCost() {
    const count = ([left, top, right, bottom]) => {
      const along = (start, stop, step, length) =>
        Math.max(Math.ceil(Math.min(stop, length) / step) - Math.floor(Math.max(start, 0) / step), 0);
      const { step_row_px, step_col_px, width, height } = this.scene;
      return along(left, right, step_col_px, width) * along(top, bottom, step_row_px, height);
    };
    const told = (n) => `${n.toLocaleString("en")} window${n === 1 ? "" : "s"}, ${duration(n * this.state.seconds_per_window)}`;
    const { width, height } = this.scene;
    byId("in-view").lastElementChild.textContent = told(count(this.map.view()));
    byId("everywhere").lastElementChild.textContent = told(count([0, 0, width, height]));
  }

  add(sentence) {
    const card = new SentenceCard(sentence, this.scene, {
      change: (name, values) => this.change(name, values),
      view: () => this.map.view(),
      redraw: () => this.redraw(sentence.number),
      open: () => this.openCard(sentence.number),
      choose: (id, bounds, how) => this.choose(sentence.number, id, bounds, how),
      tell: (error) => this.tell(error),
    });
    this.cards.set(sentence.number, card);
    byId("sentences").prepend(card.element);
  }

  forget(number) {
    this.cards.get(number).element.remove();
    this.cards.delete(number);
    this.map.remove(number);
    if (this.chosen?.number === number) this.chosen = null;
    if (this.open === number) this.open = null;
  }

  openCard(number = null) {
    this.open = number;
    for (const [each, card] of this.cards) card.setOpen(each === number);
    this.map.showSearched(this.cards.get(number)?.sentence);
  }

  choose(number, id, bounds, { fly, focus }) {
    this.chosen = { number, id };
    if (this.open !== number) this.openCard(number);
    for (const [each, card] of this.cards) card.choose(each === number ? id : null, focus);
    this.map.choose(number, id);
    if (fly) this.map.flyTo(bounds);
  }

  viewChanged() {
    if (this.state) this.showCost();
    for (const number of this.cards.keys()) this.redraw(number);
  }

  redraw(number) {
    const card = this.cards.get(number);
    if (!card?.isVisible) { this.map.remove(number); return; }
    this.map.draw(card.sentence, this.chosen).catch((error) => this.tell(error));
  }

  async save(overwrite) {
    const saved = byId("saved");
    byId("replace").hidden = true;
    saved.textContent = "Saving…";
    try {
      const { path, n_objects } = await post("save", { path: byId("file").value, overwrite });
      saved.textContent = `${n_objects.toLocaleString("en")} object${n_objects === 1 ? "" : "s"} saved in ${path}`;
    } catch (error) {
      saved.textContent = error.message;
      byId("replace").hidden = !/exists/.test(error.message);
    }
  }
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const page = new Page(await get("scene"));
await page.poll();
