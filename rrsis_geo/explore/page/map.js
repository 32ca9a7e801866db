/** The map: the scene in its own pixels, and the outlines of objects. x is a column, y a row. */

import { get } from "./api.js";

const L = window.L;
const CALM = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const DROPPED = "#9aa3b2";
const place = ([x, y]) => [-y, x];
const corners = ([left, top, right, bottom]) => [place([left, top]), place([right, bottom])];

const LOADING_MS = 700; // shorter waits need no message

const SceneTiles = L.TileLayer.extend({
  getTileUrl: ({ x, y, z }) => `tiles/${-z}/${x}/${y}`,

  /** A tile is larger than the distance of tiles, so that no gap is left where the zoom is no whole number. */
  _initTile(tile) {
    L.TileLayer.prototype._initTile.call(this, tile);
    const { tileSize, overlap } = this.options;
    const { x } = this.getTileSize();
    tile.style.width = tile.style.height = `${x * (1 + overlap / tileSize)}px`;
  },
});

export class SceneMap {
  /**
   * `onMove()` is called when the view has changed, `onPick(number, id)` when an object is clicked, and
   * `onLoading(isLoading)` when tiles of the map are missing for a while, and when all are there.
   */
  constructor(element, scene, { onMove, onPick, onLoading }) {
    this.onPick = onPick;
    this.layers = new Map(); // by number of the sentence
    this.loading = new Map(); // number of the last request, by number of the sentence
    const whole = corners([0, 0, scene.width, scene.height]);
    const [row_m, col_m] = [scene.gsd_row_m ?? 1, scene.gsd_col_m ?? 1];
    const distance = (a, b) => Math.hypot((a.lng - b.lng) * col_m, (a.lat - b.lat) * row_m);
    this.map = L.map(element, {
      crs: L.extend({}, L.CRS.Simple, { distance }),
      minZoom: scene.min_zoom - 1,
      maxZoom: 4,
      zoomSnap: 0.25,
      maxBounds: L.latLngBounds(whole).pad(0.5),
      attributionControl: false,
      renderer: L.canvas({ padding: 0.3, tolerance: 4 }),
      fadeAnimation: !CALM,
      zoomAnimation: !CALM,
    });
    const tiles = new SceneTiles("", {
      tileSize: scene.tile_px,
      overlap: scene.tile_overlap_px,
      minZoom: scene.min_zoom - 1,
      maxZoom: 4,
      minNativeZoom: scene.min_zoom,
      maxNativeZoom: 0,
      bounds: whole,
      noWrap: true,
    });
    let timer;
    tiles.on("loading", () => {
      clearTimeout(timer);
      timer = setTimeout(() => onLoading(true), LOADING_MS);
    });
    tiles.on("load", () => { clearTimeout(timer); onLoading(false); });
    tiles.addTo(this.map);
    if (scene.gsd_col_m) L.control.scale({ imperial: false, maxWidth: 140 }).addTo(this.map);
    for (const rings of scene.area_of_interest ?? []) {
      this.outline(rings, { color: "#fff", weight: 2, opacity: 0.9 }).addTo(this.map);
    }
    this.searched = L.layerGroup().addTo(this.map);
    this.map.fitBounds(whole);
    this.map.on("moveend", onMove);
    this.map.on("zoomend", () => element.classList.toggle("pixels", this.map.getZoom() > 1));
  }

  outline(rings, style) {
    return L.polygon(rings.map((ring) => ring.map(place)), { fill: false, interactive: false, ...style });
  }

  /** What is visible: left, top, right, bottom. */
  view() {
    const bounds = this.map.getBounds();
    return [bounds.getWest(), -bounds.getNorth(), bounds.getEast(), -bounds.getSouth()];
  }

  flyTo(bounds) {
    this.map.flyToBounds(L.latLngBounds(corners(bounds)).pad(1.5), { maxZoom: 1, duration: 0.5, animate: !CALM });
  }

  /** Show where was searched for a sentence. */
  showSearched(sentence) {
    this.searched.clearLayers();
    for (const rings of sentence && sentence.share < 1 ? sentence.searched : []) {
      this.outline(rings, { color: "#fff", weight: 1.5, dashArray: "6 6", opacity: 0.9 }).addTo(this.searched);
    }
  }

  /** Load and draw the objects of a sentence in the view. */
  async draw(sentence, chosen) {
    const { number } = sentence;
    const request = (this.loading.get(number) ?? 0) + 1;
    this.loading.set(number, request);
    const screen_px = 2 ** -this.map.getZoom();
    const answer = await get("shapes", { number, view: this.view().join(), screen_px });
    if (this.loading.get(number) !== request) return; // a later request draws
    this.remove(number);
    const layer = L.layerGroup(answer.shapes.map((shape) => this.object(sentence, shape))).addTo(this.map);
    this.layers.set(number, layer);
    this.loading.set(number, request);
    if (chosen?.number === number) this.choose(number, chosen.id);
  }

  object(sentence, shape) {
    const rings = shape.rings.flat();
    const style = shape.dropped
      ? { color: DROPPED, weight: 1.5, dashArray: "4 4", fillOpacity: 0.02 }
      : { color: sentence.color, weight: 2, fillOpacity: 0.12 };
    const polygon = L.polygon(rings.map((ring) => ring.map(place)), { ...style, smoothFactor: 0 });
    polygon.objectId = shape.id;
    polygon.ownStyle = style;
    polygon.bindTooltip(`#${shape.id}, score ${shape.score.toFixed(3)}${shape.area && `, ${shape.area}`}`, { sticky: true });
    return polygon.on("click", () => this.onPick(sentence.number, shape.id, shape.bounds));
  }

  /** Mark one object, and no other. */
  choose(number, id) {
    for (const [each, layer] of this.layers) {
      layer.eachLayer((polygon) => {
        const isChosen = each === number && polygon.objectId === id;
        polygon.setStyle(isChosen ? { ...polygon.ownStyle, color: "#fff", weight: 4, fillOpacity: 0.25 } : polygon.ownStyle);
        if (isChosen) polygon.bringToFront();
      });
    }
  }

  remove(number) {
    this.loading.set(number, (this.loading.get(number) ?? 0) + 1);
    this.layers.get(number)?.remove();
    this.layers.delete(number);
  }
}
