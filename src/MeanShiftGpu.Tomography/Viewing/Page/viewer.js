// The page: slices on the one side, sliders and thumbnails on the other.
import { element, slider } from "./elements.js";
import { Gallery } from "./gallery.js";
import { Grey } from "./grey.js";
import { HistogramSlider } from "./histogram.js";
import { drawKind } from "./marks.js";
import { Picks } from "./picks.js";
import { Plane } from "./plane.js";

const planeNames = ["xy", "zy", "xz"];
const means = [1, 3, 5, 7, 11, 15];

const keys = [
    ["wheel, ↑ ↓ or the slider", "other slices; with Alt ten at a time"],
    ["Ctrl and wheel, + −", "zoom"],
    ["drag", "move the picture"],
    ["Shift and drag, or the right button", "contrast (left, right) and brightness (up, down)"],
    ["p", "hide or show the picks"],
    ["a circle", "where the slice cuts a ball of the particle's diameter: small and faint, the pick is above or below"],
];
const keysToEdit = [
    ["click on a pick or a thumbnail", "reject it, or take it back"],
    ["double click on a slice", "add a pick"],
    ["drag a pick", "move it"],
    ["in the thumbnails: arrows, x, a, Enter", "choose one, reject, accept, show"],
    ["Ctrl-Z, Ctrl-Y, Ctrl-S", "undo, redo, save"],
];

export class Viewer {
    constructor(root, source) {
        const { volume } = source;
        this.source = source;
        this.root = root;
        this.picks = new Picks(volume);
        if (source.changes)
            this.picks.restore(source.changes);
        const [depth, height, width] = volume.shape;
        this.lengths = { z: depth, y: height, x: width };
        this.view = {
            source, picks: this.picks, grey: new Grey(), center: { z: (depth - 1) / 2, y: (height - 1) / 2, x: (width - 1) / 2 }, zoom: 1,
            reach: 2, scoreOpacity: volume.hasScoreMap ? 0.3 : 0, showPicks: true, selected: null,
            radiusOf: pick => volume.kinds[pick.kind].diameter / 2 * this.scale,
            lengthOf: axis => this.lengths[axis],
        };
        this.scale = 1;
        this.actions = {
            go: place => this.go(place),
            step: (axis, by) => this.step(axis, by),
            zoom: (factor, plane, x, y) => this.zoom(factor, plane, x, y),
            greyChanged: () => this.#greyChanged(),
            clicked: pick => this.#clicked(pick),
            add: place => this.#add(place),
            show: pick => this.show(pick),
            look: pick => this.look(pick),
            failed: error => this.#fail(error),
        };
        if (source.depths?.length > 0)
            this.view.center.z = source.depths[Math.floor(source.depths.length / 2)];
        this.#build();
        this.picks.listeners.push((what, words) => this.#changed(what, words));
        this.#listen();
        this.fit();
        this.#showCounts();
        if (!volume.points.support)
            this.#loadSupports();
    }

    // Moves the middle of all planes; each axis stays within the volume.
    go(place) {
        for (const [axis, value] of Object.entries(place))
            this.view.center[axis] = Math.max(0, Math.min(this.lengths[axis] - 1, value));
        this.#showDepth();
        this.planes.forEach(p => p.update());
    }

    // The next slice along an axis; a page with some slices alone has its own steps.
    step(axis, by) {
        const { depths } = this.source;
        if (axis === "z" && depths?.length > 0) {
            const index = depths.reduce((best, d, i) => Math.abs(d - this.view.center.z) < Math.abs(depths[best] - this.view.center.z) ? i : best, 0);
            this.go({ z: depths[Math.max(0, Math.min(depths.length - 1, index + Math.sign(by)))] });
        } else {
            this.go({ [axis]: Math.round(this.view.center[axis]) + by });
        }
    }

    // Zooms about a place of a plane that stays where it is, or about the middle.
    zoom(factor, plane = null, x = 0, y = 0) {
        const before = plane?.toVolume(x, y);
        this.view.zoom = Math.max(0.05, Math.min(40, this.view.zoom * factor));
        if (plane) {
            const after = plane.toVolume(x, y);
            this.go({
                [plane.right]: this.view.center[plane.right] + before[plane.right] - after[plane.right],
                [plane.down]: this.view.center[plane.down] + before[plane.down] - after[plane.down],
            });
        }

        this.planes.forEach(p => p.redraw());
    }

    // The whole of the first plane that is seen.
    fit() {
        const plane = this.planes.find(p => p.canvas.clientWidth > 0) ?? this.planes[0];
        this.view.zoom = Math.min(
            (plane.canvas.clientWidth - 8) / this.lengths[plane.right], (plane.canvas.clientHeight - 8) / this.lengths[plane.down]);
        this.view.zoom = Math.max(0.05, this.view.zoom);
        const middle = axis => (this.lengths[axis] - 1) / 2;
        this.go({ [plane.right]: middle(plane.right), [plane.down]: middle(plane.down) });
    }

    // Brings a pick to the middle of all planes, and closer.
    show(pick) {
        // Far out the particle would be lost among the others.
        this.view.zoom = Math.max(this.view.zoom, Math.min(4, 24 / this.view.radiusOf(pick)));
        this.look(pick);
    }

    // Brings a pick to the middle of all planes.
    look(pick) {
        this.view.selected = pick;
        const nearest = z => this.source.depths?.reduce((a, b) => Math.abs(b - z) < Math.abs(a - z) ? b : a) ?? z;
        this.go({ z: nearest(pick.z), y: pick.y, x: pick.x });
        this.gallery.show(pick);
        this.gallery.redraw();
    }

    #build() {
        const { source, view } = this;
        const { volume } = source;
        this.counts = element("p", { className: "counts", role: "status" });
        this.message = element("p", { className: "message", role: "alert" });
        const button = (label, title, onclick) => element("button", { type: "button", title, onclick }, label);
        this.undoButton = button("Undo", "Ctrl-Z", () => this.picks.undo());
        this.redoButton = button("Redo", "Ctrl-Y", () => this.picks.redo());
        this.saveButton = button("Save", source.canSave ? "Ctrl-S" : "Start the program with --out TABLE to save", () => this.save());
        this.saveButton.disabled = !source.canSave;
        const head = element("header", {},
            element("h1", {}, volume.name), this.counts,
            source.canEdit ? element("div", { className: "buttons" }, this.undoButton, this.redoButton, this.saveButton) : null);

        const canvases = planeNames.map(name => element("canvas", { className: `plane ${name}`, "aria-label": `slice in the plane ${name}` }));
        this.planesBox = element("div", { className: "planes", "data-shown": source.canEdit ? "all" : "xy" }, ...canvases);
        this.planes = planeNames.map((name, i) => new Plane(name, canvases[i], view, this.actions));
        const stage = element("section", { className: "stage", "aria-label": "slices" }, this.#tools(button), this.planesBox, this.#depthSlider());

        this.scoreFilter = new HistogramSlider("score", least => this.picks.setLeast("leastScore", least));
        this.supportFilter = new HistogramSlider("support", least => this.picks.setLeast("leastSupport", least));
        this.gallery = new Gallery(view, this.actions);
        this.#fillFilters();
        this.hint = element("p", { className: "note" });
        this.#showHint();
        const side = element("section", { className: "side", "aria-label": "picks" },
            this.#legend(), this.scoreFilter.whole, this.supportFilter.whole,
            element("div", { className: "gallery-head" },
                element("h2", {}, "Picks ", this.gallery.count), this.gallery.select,
                source.canEdit ? element("label", { className: "check" }, this.gallery.hide, "hide rejected") : null),
            this.hint, this.gallery.empty, this.gallery.box);
        const rows = (source.canEdit ? [...keys, ...keysToEdit] : keys).map(([key, does]) => element("tr", {}, element("td", {}, key), element("td", {}, does)));
        const help = element("details", { className: "help" }, element("summary", {}, "Mouse and keys"), element("table", {}, element("tbody", {}, ...rows)));
        help.addEventListener("toggle", () => help.open && help.scrollIntoView({ block: "end" }));
        this.root.replaceChildren(head, this.message, element("div", { className: "columns" }, stage, side), help);
    }

    #tools(button) {
        const { view, source } = this;
        const planes = element("select", { "aria-label": "planes" },
            ...[["all", "three planes"], ["xy", "xy only"], ["xz", "xz only"], ["zy", "zy only"]].map(([value, label]) => element("option", { value }, label)));
        planes.addEventListener("change", () => {
            this.planesBox.dataset.shown = planes.value;
            this.fit();
        });
        this.planesChoice = planes;
        // Side by side they need room; one below the other is little use.
        if (source.canEdit && window.innerWidth < 700)
            planes.value = this.planesBox.dataset.shown = "xy";
        const mean = element("select", { "aria-label": "mean of slices" }, ...means.map(n => element("option", { value: (n - 1) / 2 }, n === 1 ? "one slice" : `mean of ${n} slices`)));
        mean.value = `${view.reach}`;
        mean.addEventListener("change", () => {
            view.reach = Number(mean.value);
            this.planes.forEach(p => p.update());
            this.gallery.repaint(true);
            this.#showHint();
        });
        const range = { minimum: -1, maximum: 1, step: 0.02, value: 0 };
        this.brightness = slider("brightness", range, value => {
            view.grey.set(value, view.grey.contrast);
            this.#greyChanged();
        });
        this.contrast = slider("contrast", range, value => {
            view.grey.set(view.grey.brightness, value);
            this.#greyChanged();
        });
        const scores = slider("score map", { minimum: 0, maximum: 1, step: 0.05, value: view.scoreOpacity, title: "how much of the score map is seen" }, value => {
            view.scoreOpacity = value;
            this.planes.forEach(p => p.update());
        });
        const size = slider("circle size", { minimum: 0.2, maximum: 3, step: 0.05, value: 1, title: "1 is the particle's diameter; a circle is where the slice cuts the ball" }, value => {
            this.scale = value;
            this.planes.forEach(p => p.redraw());
        });
        this.showPicks = element("input", { type: "checkbox", checked: true });
        this.showPicks.addEventListener("change", () => this.#togglePicks(this.showPicks.checked));
        return element("div", { className: "tools" },
            source.canEdit ? planes : null, source.canEdit ? mean : null,
            button("Fit view", "see the whole slice", () => this.fit()), button("+", "closer", () => this.zoom(1.4)), button("−", "further", () => this.zoom(1 / 1.4)),
            this.brightness.whole, this.contrast.whole,
            button("Reset contrast", "brightness and contrast by percentiles again", () => {
                view.grey.reset();
                this.#greyChanged();
            }),
            source.volume.hasScoreMap ? scores.whole : null, size.whole, element("label", { className: "check" }, this.showPicks, "picks"));
    }

    #depthSlider() {
        const depths = this.source.depths;
        const count = depths ? depths.length : this.lengths.z;
        this.depth = element("input", { type: "range", min: 0, max: Math.max(0, count - 1), step: 1, "aria-label": "slice along z" });
        this.depth.addEventListener("input", () => this.go({ z: depths ? depths[Number(this.depth.value)] : Number(this.depth.value) }));
        this.depthText = element("output", {});
        return element("label", { className: "depth" }, "z ", this.depth, this.depthText);
    }

    #showDepth() {
        const { depths } = this.source;
        const z = Math.round(this.view.center.z);
        this.depth.value = depths ? depths.indexOf(depths.reduce((a, b) => Math.abs(b - z) < Math.abs(a - z) ? b : a, 0)) : z;
        this.depthText.textContent = ` ${z} of 0–${this.lengths.z - 1}`;
    }

    #legend() {
        const { kinds } = this.source.volume;
        if (kinds.length < 2 && !kinds[0].name)
            return null;
        this.kind = element("select", { "aria-label": "what a double click adds" }, ...kinds.map((k, i) => element("option", { value: i }, k.name || "particle")));
        const items = kinds.map((kind, i) => {
            const canvas = element("canvas", { width: 44, height: 44 });
            const context = canvas.getContext("2d");
            context.scale(2, 2);
            drawKind(context, i, 11, 11, 7);
            return element("li", {}, canvas, kind.name || "particle");
        });
        return element("div", { className: "legend" }, element("ul", {}, ...items),
            this.source.canEdit && kinds.length > 1 ? element("label", {}, "a double click adds ", this.kind) : null);
    }

    // What a thumbnail shows, and what a click does.
    #showHint() {
        const { volume } = this.source;
        const width = volume.voxelAngstrom > 0 ? `${Math.round(volume.thumbnailEdge * volume.voxelAngstrom)} Å` : `${volume.thumbnailEdge} voxels`;
        this.hint.textContent = `Slices xy through the picks, ${width} wide, mean of ${2 * this.gallery.reach + 1}. `
            + (this.source.canEdit ? "A click rejects a pick; a second click takes it back." : "A click shows the pick on the nearest slice.");
    }

    #fillFilters() {
        const values = of => this.picks.all.map(of).filter(v => v !== null && Number.isFinite(v));
        this.scoreFilter.setValues(values(p => p.score), this.picks.leastScore);
        this.supportFilter.setValues(values(p => p.support), this.picks.leastSupport);
    }

    async #loadSupports() {
        try {
            const supports = await this.source.supports();
            if (supports)
                this.picks.setSupports(supports);
        } catch (error) {
            this.#fail(error);
        }
    }

    #clicked(pick) {
        if (pick && this.source.canEdit)
            this.picks.reject(pick);
        this.view.selected = pick;
        this.planes.forEach(p => p.redraw());
        if (pick)
            this.gallery.show(pick);
        this.gallery.redraw();
    }

    #add(place) {
        if (!this.source.canEdit)
            return;
        this.view.selected = this.picks.add({ z: place.z, y: place.y, x: place.x }, this.kind ? Number(this.kind.value) : 0);
        this.planes.forEach(p => p.redraw());
    }

    #togglePicks(shown) {
        this.view.showPicks = this.showPicks.checked = shown;
        this.planes.forEach(p => p.redraw());
    }

    #greyChanged() {
        this.brightness.input.value = this.view.grey.brightness;
        this.contrast.input.value = this.view.grey.contrast;
        this.planes.forEach(p => p.repaint());
        this.gallery.repaint(false);
    }

    #changed(what, words) {
        if (what === "supports")
            this.#fillFilters();
        if (what === "changed")
            this.#say(`${words[0].toUpperCase()}${words.slice(1)}.`);
        // While one rejects, thumbnails stay where they are.
        if (what === "filter" || this.gallery.hide.checked || this.#shownHasChanged())
            this.gallery.refresh();
        this.gallery.showCount();
        this.gallery.redraw();
        this.planes.forEach(p => p.redraw());
        this.#showCounts();
        if (this.source.canEdit && what !== "supports") {
            clearTimeout(this.keeping);
            this.keeping = setTimeout(() => this.source.keep(this.picks.changes()).catch(error => this.#fail(error)), 400);
        }
    }

    // Whether a pick was added or taken away, or passes again.
    #shownHasChanged() {
        const shown = this.picks.all.filter(p => this.picks.isShown(p)).length;
        const changed = shown !== this.shownBefore;
        this.shownBefore = shown;
        return changed;
    }

    #showCounts() {
        const c = this.picks.counts();
        const parts = [`${c.kept} of ${c.total} picks kept`];
        if (!this.source.canEdit)
            parts[0] = c.below > 0 ? `${c.kept} of ${c.total} shown` : `${c.total} shown`;
        for (const [count, word] of [[c.below, "below the sliders"], [c.rejected, "rejected"], [c.added, "added"], [c.moved, "moved"]]) {
            if (count > 0)
                parts.push(`${count} ${word}`);
        }

        if (this.source.canEdit && this.picks.unsaved)
            parts.push(this.source.canSave ? "not saved" : "start with --out TABLE to save");
        this.counts.textContent = parts.join(" · ");
        this.saveButton.classList.toggle("primary", this.picks.unsaved);
        this.undoButton.disabled = this.picks.done.length === 0;
        this.redoButton.disabled = this.picks.undone.length === 0;
    }

    async save() {
        if (!this.source.canSave)
            return;
        try {
            const saved = await this.source.save(this.picks.changes());
            this.picks.unsaved = false;
            this.#showCounts();
            this.#say(`Saved: ${saved.kept} picks in ${saved.table}${saved.removed > 0 ? `, and the ${saved.removed} rejected ones in ${saved.removedTable}` : ""}.`);
        } catch (error) {
            this.#fail(error);
        }
    }

    #say(text) {
        this.message.textContent = text;
        this.message.classList.remove("failed");
    }

    #fail(error) {
        this.message.textContent = `Something went wrong: ${error.message}.`;
        this.message.classList.add("failed");
    }

    #listen() {
        const act = {
            ArrowUp: e => this.step("z", e.altKey ? 10 : 1), ArrowDown: e => this.step("z", e.altKey ? -10 : -1),
            PageUp: () => this.step("z", 10), PageDown: () => this.step("z", -10),
            "+": () => this.zoom(1.4), "=": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4),
            p: () => this.#togglePicks(!this.view.showPicks),
        };
        const withControl = { z: e => e.shiftKey ? this.picks.redo() : this.picks.undo(), y: () => this.picks.redo(), s: () => this.save() };
        // A report has the page around it, which must scroll by its keys as every page does.
        if (!this.source.canEdit)
            return;
        window.addEventListener("keydown", event => {
            const inField = event.target.matches?.("input[type=number], select");
            const does = event.ctrlKey || event.metaKey ? withControl[event.key.toLowerCase()] : inField ? null : act[event.key];
            if (!does || (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")))
                return;
            event.preventDefault();
            does(event);
        });
        window.addEventListener("beforeunload", event => {
            if (this.picks.unsaved && this.source.canSave)
                event.preventDefault();
        });
    }
}
