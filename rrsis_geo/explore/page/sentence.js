/** A sentence in the panel: its numbers, its limits and the list of its objects. */

import { get } from "./api.js";

const STEPS_M2 = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

export class SentenceCard {
  /** `page` has the functions that the card calls. */
  constructor(sentence, scene, page) {
    const steps = [...STEPS_M2, ...(scene.min_area_m2 ? [scene.min_area_m2] : [])].sort((a, b) => a - b);
    this.sizes = [0, null, ...(scene.gsd_col_m ? new Set(steps) : [])]; // null: the default
    this.scene = scene;
    this.page = page;
    this.sentence = sentence;
    this.isVisible = true;
    this.foundNumber = -1;
    this.chosen = null;
    this.element = document.getElementById("sentence").content.firstElementChild.cloneNode(true);
    this.element.style.setProperty("--color", sentence.color);
    this.part("title").textContent = sentence.expression;
    this.part("swatch").title = "Show or hide";
    this.part("swatch").setAttribute("aria-label", `Show ${sentence.expression}`);
    this.part("smallest").max = this.sizes.length - 1;
    this.part("smallest").value = this.sizes.indexOf(scene.min_area_m2);
    this.listen();
  }

  part(name) {
    return this.element.querySelector(`.${name}`);
  }

  listen() {
    this.part("title").addEventListener("click", () => this.page.open());
    this.part("remove").addEventListener("click", () => this.page.change("remove", { number: this.sentence.number }));
    this.part("swatch").addEventListener("click", () => {
      this.isVisible = !this.isVisible;
      this.part("swatch").setAttribute("aria-pressed", this.isVisible);
      this.page.redraw();
    });
    for (const name of ["threshold", "smallest"]) {
      this.part(name).addEventListener("input", () => { this.showLimits(); this.sendLimits(); });
    }
    this.part("objects").addEventListener("keydown", (event) => this.key(event));
  }

  setOpen(isOpen) {
    this.element.classList.toggle("open", isOpen);
    this.part("title").setAttribute("aria-expanded", isOpen);
  }

  show(sentence) {
    this.sentence = sentence;
    const { n_objects, area, is_reading, is_part, share } = sentence;
    const count = `${n_objects.toLocaleString("en")} object${n_objects === 1 ? "" : "s"}`;
    const state = is_part ? " in view; the rest follows" : is_reading ? " …" : "";
    this.part("sum").textContent = !share ? "not searched yet" : `${count}${area && n_objects ? `, ${area}` : ""}${state}`;
    this.part("reading").textContent = sentence.reading ? `Understood as: ${sentence.reading}` : "";
    this.part("share").textContent = sentence.reading && sentence.share_text
      ? `${sentence.share_text} The rules compare only what was found there.` : sentence.share_text ?? "";
    this.part("dropped").textContent = sentence.dropped ? `Left out: ${sentence.dropped}` : "";
    const messages = sentence.error ? [sentence.error, ...sentence.messages] : sentence.messages;
    this.part("messages").replaceChildren(...messages.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }));
    for (const name of ["threshold", "smallest"]) this.part(name).disabled = !sentence.is_known;
    if (sentence.is_known && !this.isSending) {
      this.part("threshold").value = sentence.threshold;
      this.part("smallest").value = this.sizes.indexOf(sentence.min_area_m2);
    }
    this.showLimits();
    const marks = `${sentence.found_number}/${sentence.n_marks}`;
    if (this.foundNumber !== marks) {
      this.foundNumber = marks;
      this.page.redraw();
      this.load().catch((error) => this.page.tell(error));
    }
  }

  smallest() {
    return this.sizes[this.part("smallest").value];
  }

  showLimits() {
    this.part("threshold-value").textContent = Number(this.part("threshold").value).toFixed(2);
    const smallest = this.smallest();
    const text = smallest === 0 ? "all" : smallest === null ? `${this.scene.smallest} (default)` : `${smallest.toLocaleString("en")} m²`;
    this.part("smallest-value").textContent = text;
    this.part("smallest").setAttribute("aria-valuetext", text);
  }

  /** Send the limits; what changes meanwhile is sent afterwards. */
  async sendLimits() {
    this.isStale = true;
    if (this.isSending) return;
    this.isSending = true;
    while (this.isStale) {
      this.isStale = false;
      const threshold = Number(this.part("threshold").value);
      const values = { number: this.sentence.number, threshold, min_area_m2: this.smallest(), view: this.page.view() };
      await this.page.change("limits", values);
    }
    this.isSending = false;
  }

  async load() {
    const { objects, n_objects } = await get("list", { number: this.sentence.number });
    const focused = document.activeElement?.closest("li")?.dataset.id;
    const hadFocus = this.part("objects").contains(document.activeElement);
    this.objects = objects;
    const rows = objects.map((each) => this.row(each));
    if (n_objects > objects.length) {
      const more = document.createElement("li");
      more.className = "note";
      more.textContent = `and ${(n_objects - objects.length).toLocaleString("en")} with lower scores`;
      rows.push(more);
    }
    this.part("objects").replaceChildren(...rows);
    this.choose(this.chosen, false);
    if (hadFocus) this.element.querySelector(`li[data-id="${focused}"] .row`)?.focus();
  }

  row(object) {
    const item = document.getElementById("object").content.firstElementChild.cloneNode(true);
    const set = (name, text) => { item.querySelector(`.${name}`).textContent = text; };
    item.dataset.id = object.id;
    item.classList.toggle("is-dropped", object.dropped);
    set("id", `#${object.id}`);
    set("score", object.score.toFixed(3));
    set("area", object.area || `${object.n_pixels} px`);
    set("facts", [describe(object.facts), object.touches_border ? "at the border of what was searched" : ""].filter(Boolean).join(" · "));
    item.querySelector(".bar").style.setProperty("--score", `${100 * object.score}%`);
    item.querySelector(".row").addEventListener("click", () => this.page.choose(object.id, object.bounds, { fly: true, focus: false }));
    set("toggle", object.dropped ? "Keep" : "Drop");
    item.querySelector(".toggle").addEventListener("click", () => this.toggle(object.id));
    return item;
  }

  key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const position = this.objects?.findIndex((each) => String(each.id) === event.target.closest("li")?.dataset.id) ?? -1;
    const next = this.objects?.[position + step];
    if (!step || position < 0) return;
    event.preventDefault();
    if (next) this.page.choose(next.id, next.bounds, { fly: true, focus: true });
  }

  /** Mark a row; `focus` moves the keyboard there. */
  choose(id, focus) {
    this.chosen = id;
    for (const item of this.part("objects").children) {
      const isChosen = item.dataset.id === String(id);
      item.classList.toggle("chosen", isChosen);
      if (isChosen) item.scrollIntoView({ block: "nearest" });
      if (isChosen && focus) item.querySelector(".row").focus();
    }
  }

  /** Drop an object, or keep it again. */
  toggle(id) {
    const object = this.objects?.find((each) => each.id === id);
    const { number, found_number } = this.sentence;
    return this.page.change("drop", { number, found_number, id, dropped: !object?.dropped });
  }
}

function describe({ rank, distance_m, region }) {
  const parts = [rank && `rank ${rank}`, distance_m !== undefined && distance_m !== null && `${distance_m.toFixed(1)} m`, region];
  return parts.filter(Boolean).join(" · ");
}
