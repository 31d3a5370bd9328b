// One plane through the volume on a canvas: the slice, the score map over it, the picks that it cuts, and what the mouse does there.
import { contextOf, onNextFrame } from "./elements.js";
import { paintScores } from "./grey.js";
import { drawOutline, drawSigns } from "./marks.js";

// Which axis runs to the right, which down, and which one the plane cuts.
const axesOf = { xy: ["x", "y", "z"], xz: ["x", "z", "y"], zy: ["z", "y", "x"] };

const fewestPixelsToGrab = 7;
const pixelsOfADrag = 4;

export class Plane {
    // view is what the planes have in common: { center, zoom, reach, grey, scoreOpacity, showPicks, selected, picks, source }; moved says that it changed.
    constructor(name, canvas, view, actions) {
        this.name = name;
        this.canvas = canvas;
        this.view = view;
        this.actions = actions;
        [this.right, this.down, this.across] = axesOf[name];
        this.layers = { volume: this.#layer(), scores: this.#layer() };
        this.redraw = onNextFrame(() => this.#draw());
        this.painted = 0;
        this.note = "";
        this.#listen();
    }

    // Which slice is wanted.
    get at() {
        return Math.round(this.view.center[this.across]);
    }

    // Asks for what is to be seen now; what was asked for before is shown until it comes.
    update() {
        this.#load("volume");
        if (this.view.source.volume.hasScoreMap && this.view.scoreOpacity > 0)
            this.#load("scores");
        this.redraw();
    }

    // Grey values have changed, not the slice.
    repaint() {
        this.layers.volume.paintedFor = null;
        this.redraw();
    }

    toScreen(place) {
        const { center, zoom } = this.view;
        return {
            x: (place[this.right] - center[this.right]) * zoom + this.canvas.clientWidth / 2,
            y: (place[this.down] - center[this.down]) * zoom + this.canvas.clientHeight / 2,
        };
    }

    toVolume(x, y) {
        const { center, zoom } = this.view;
        return {
            ...center,
            [this.right]: (x - this.canvas.clientWidth / 2) / zoom + center[this.right],
            [this.down]: (y - this.canvas.clientHeight / 2) / zoom + center[this.down],
            [this.across]: this.#shownAt(),
        };
    }

    #layer() {
        return { canvas: document.createElement("canvas"), slice: null, wanted: null, loading: false, paintedFor: null };
    }

    // A page without the program has some slices only.
    #shownAt() {
        return this.layers.volume.slice?.at ?? this.at;
    }

    async #load(name) {
        const layer = this.layers[name];
        const { source, reach } = this.view;
        if (this.canvas.clientWidth === 0)
            return;
        layer.wanted = `${this.at}/${reach}`;
        if (layer.loading)
            return;
        layer.loading = true;
        try {
            // While one slice is on its way, only the last of those that are wanted meanwhile counts.
            for (let loaded = null; loaded !== layer.wanted;) {
                loaded = layer.wanted;
                const slice = await source.slice(this.name, this.at, this.view.reach, name);
                if (slice?.waiting !== undefined) {
                    this.note = `preparing this plane: ${Math.round(100 * slice.waiting)} %`;
                    this.redraw();
                    await new Promise(resolve => setTimeout(resolve, 300));
                    loaded = null;
                    continue;
                }

                if (name === "volume")
                    this.note = slice ? "" : "this page has slices along z only";
                layer.slice = slice;
                layer.paintedFor = null;
                this.redraw();
            }
        } catch (error) {
            this.actions.failed(error);
        } finally {
            layer.loading = false;
        }
    }

    #draw() {
        const context = contextOf(this.canvas);
        if (!context)
            return;
        const { zoom, source } = this.view;
        context.fillStyle = "#000";
        context.fillRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
        context.imageSmoothingEnabled = zoom < 8;
        this.#drawLayer(context, this.layers.volume, 1, (canvas, s) => this.view.grey.paint(canvas, s.pixels, s.width, s.height));
        if (source.volume.hasScoreMap && this.view.scoreOpacity > 0)
            this.#drawLayer(context, this.layers.scores, this.view.scoreOpacity, (canvas, s) => paintScores(canvas, s.pixels, s.width, s.height));
        if (this.view.showPicks)
            this.#drawPicks(context);
        this.#drawNotes(context);
        this.#drawScaleBar(context);
        this.painted++;
        this.lastDrawn = this.layers.volume.slice?.at ?? null;
    }

    #drawLayer(context, layer, opacity, paint) {
        const slice = layer.slice;
        if (!slice)
            return;
        if (layer.paintedFor !== slice) {
            paint(layer.canvas, slice);
            layer.paintedFor = slice;
        }

        const { zoom } = this.view;
        const corner = this.toScreen({ [this.right]: -0.5, [this.down]: -0.5 });
        context.globalAlpha = opacity;
        context.drawImage(layer.canvas, corner.x, corner.y, slice.width * slice.bin * zoom, slice.height * slice.bin * zoom);
        context.globalAlpha = 1;
    }

    // The picks whose ball the slice cuts: pick, and the radius of the cut in voxels.
    #cuts() {
        const at = this.#shownAt();
        const found = [];
        for (const pick of this.view.picks.all) {
            const away = Math.abs(pick[this.across] - at);
            const radius = this.view.radiusOf(pick);
            // Of a report's few slices none may cut the pick that was chosen; it is shown on the nearest one.
            const isChosen = pick === this.view.selected && !this.view.source.canEdit;
            if ((away <= radius || isChosen) && this.view.picks.isShown(pick))
                found.push({ pick, radius: Math.max(Math.sqrt(Math.max(0, radius * radius - away * away)), 0.3 * radius) });
        }

        return found;
    }

    #drawPicks(context) {
        const seen = [];
        for (const { pick, radius } of this.#cuts()) {
            const { x, y } = this.toScreen(pick);
            const reach = Math.max(radius * this.view.zoom, 2.5);
            if (x > -reach && y > -reach && x < this.canvas.clientWidth + reach && y < this.canvas.clientHeight + reach)
                seen.push({ pick, x, y, reach, strength: radius / this.view.radiusOf(pick), rejected: this.view.picks.isRejected(pick) });
        }

        seen.filter(s => s.pick !== this.view.selected).forEach(s => drawOutline(context, s.pick, s.rejected, s.x, s.y, s.reach, s.strength));
        seen.forEach(s => drawSigns(context, s.pick, s.rejected, s.x, s.y, s.reach, s.pick === this.view.selected));
    }

    #drawNotes(context) {
        context.font = "12px system-ui, sans-serif";
        const lines = [`${this.right}${this.down}   ${this.across} = ${this.#shownAt()}`, this.note].filter(line => line);
        lines.forEach((line, i) => {
            context.fillStyle = "rgb(0 0 0 / 0.6)";
            context.fillRect(4, 4 + 20 * i, context.measureText(line).width + 10, 18);
            context.fillStyle = "#fff";
            context.fillText(line, 9, 17 + 20 * i);
        });
    }

    // A length of 1, 2 or 5 times a power of ten that fits.
    #drawScaleBar(context) {
        const { voxelAngstrom } = this.view.source.volume;
        if (!(voxelAngstrom > 0))
            return;
        const pixelsOfAngstrom = this.view.zoom / voxelAngstrom;
        const most = Math.min(160, this.canvas.clientWidth / 3) / pixelsOfAngstrom;
        const power = 10 ** Math.floor(Math.log10(most));
        const length = [5, 2, 1].map(n => n * power).find(l => l <= most) ?? power;
        const wide = length * pixelsOfAngstrom, bottom = this.canvas.clientHeight - 8;
        context.fillStyle = "rgb(0 0 0 / 0.6)";
        context.fillRect(4, bottom - 20, wide + 10, 24);
        context.fillStyle = "#fff";
        context.fillRect(9, bottom - 3, wide, 3);
        context.fillText(length >= 10000 ? `${length / 10000} µm` : length >= 10 ? `${length / 10} nm` : `${length} Å`, 9, bottom - 7, wide + 2);
    }

    // The pick under the mouse: the nearest whose outline holds it.
    #pickAt(x, y) {
        if (!this.view.showPicks)
            return null;
        let best = null, nearest = Infinity;
        for (const { pick, radius } of this.#cuts()) {
            const on = this.toScreen(pick);
            const away = Math.hypot(on.x - x, on.y - y);
            if (away <= Math.max(radius * this.view.zoom, fewestPixelsToGrab) && away < nearest)
                [best, nearest] = [pick, away];
        }

        return best;
    }

    #listen() {
        const canvas = this.canvas;
        let drag = null;
        canvas.addEventListener("pointerdown", event => {
            const pick = event.button === 0 && !event.shiftKey ? this.#pickAt(event.offsetX, event.offsetY) : null;
            const isGrey = event.button === 2 || event.shiftKey;
            drag = {
                kind: isGrey ? "grey" : pick && this.view.source.canEdit && !this.view.picks.isRejected(pick) ? "pick" : "pan",
                pick, far: false, x: event.clientX, y: event.clientY,
                from: pick ? { z: pick.z, y: pick.y, x: pick.x } : { ...this.view.center },
                brightness: this.view.grey.brightness, contrast: this.view.grey.contrast,
            };
            canvas.setPointerCapture(event.pointerId);
        });
        canvas.addEventListener("pointermove", event => {
            if (!drag) {
                canvas.style.cursor = this.#pickAt(event.offsetX, event.offsetY) ? "pointer" : "";
                return;
            }

            const right = event.clientX - drag.x, down = event.clientY - drag.y;
            drag.far ||= Math.hypot(right, down) >= pixelsOfADrag;
            if (!drag.far)
                return;
            if (drag.kind === "grey") {
                this.view.grey.set(drag.brightness - down / 300, drag.contrast + right / 300);
                this.actions.greyChanged();
            } else if (drag.kind === "pick") {
                drag.pick[this.right] = this.#within(this.right, drag.from[this.right] + right / this.view.zoom);
                drag.pick[this.down] = this.#within(this.down, drag.from[this.down] + down / this.view.zoom);
                this.redraw();
            } else {
                this.actions.go({
                    [this.right]: drag.from[this.right] - right / this.view.zoom,
                    [this.down]: drag.from[this.down] - down / this.view.zoom,
                });
            }
        });
        canvas.addEventListener("pointerup", () => {
            const ended = drag;
            drag = null;
            if (ended?.kind === "pick" && ended.far) {
                const { z, y, x } = ended.pick;
                this.view.picks.move(ended.pick, ended.from, { z, y, x });
            } else if (ended && !ended.far && ended.kind !== "grey") {
                this.actions.clicked(ended.pick);
            }
        });
        canvas.addEventListener("pointercancel", () => {
            if (drag?.kind === "pick")
                Object.assign(drag.pick, drag.from);
            drag = null;
            this.redraw();
        });
        canvas.addEventListener("dblclick", event => {
            const place = this.toVolume(event.offsetX, event.offsetY);
            const inside = [this.right, this.down].every(axis => this.#within(axis, place[axis]) === place[axis]);
            if (inside && !this.#pickAt(event.offsetX, event.offsetY))
                this.actions.add(place);
        });
        canvas.addEventListener("wheel", event => {
            event.preventDefault();
            if (event.ctrlKey || event.metaKey)
                this.actions.zoom(Math.exp(-event.deltaY * (event.deltaMode === 0 ? 0.002 : 0.05)), this, event.offsetX, event.offsetY);
            else
                this.actions.step(this.across, Math.sign(event.deltaY) * (event.altKey ? 10 : 1));
        }, { passive: false });
        canvas.addEventListener("contextmenu", event => event.preventDefault());
        new ResizeObserver(() => this.update()).observe(canvas);
    }

    // A place along an axis within the volume, whose first voxel begins half a voxel before 0.
    #within(axis, value) {
        const length = this.view.lengthOf(axis);
        return Math.max(-0.5, Math.min(length - 0.51, value));
    }
}
