// Thumbnails of the picks in an order that brings the doubtful ones to the top; a click or a key rejects. Only what is seen is in the page.
import { element, onNextFrame } from "./elements.js";
import { drawKind } from "./marks.js";

const leastCellWidth = 84, cellHeight = 104, markEdge = 16;
const mostAtOnce = 48;

export const orders = {
    worst: { label: "worst first", needs: picks => picks.all.some(p => p.rank !== null), compare: (a, b) => (a.rank ?? -1) - (b.rank ?? -1) },
    low: { label: "lowest score first", needs: hasScores, compare: (a, b) => (a.score ?? -Infinity) - (b.score ?? -Infinity) },
    high: { label: "highest score first", needs: hasScores, compare: (a, b) => (b.score ?? -Infinity) - (a.score ?? -Infinity) },
    doubtful: { label: "nearest to the least score first", needs: hasScores, compare: null },
    depth: { label: "by z", needs: () => true, compare: (a, b) => a.z - b.z },
};

function hasScores(picks) {
    return picks.all.some(p => p.score !== null);
}

export class Gallery {
    constructor(view, actions) {
        this.view = view;
        this.actions = actions;
        this.pictures = new Map();
        this.cells = new Map();
        this.order = Object.keys(orders).find(name => orders[name].needs(view.picks));
        this.space = element("div", { className: "gallery-space" });
        this.box = element("div", { className: "gallery", tabIndex: 0, role: "listbox", "aria-label": "thumbnails of the picks" }, this.space);
        this.select = element("select", { "aria-label": "order of the thumbnails" },
            ...Object.entries(orders).filter(([, o]) => o.needs(view.picks)).map(([name, o]) => element("option", { value: name }, o.label)));
        this.select.value = this.order;
        this.hide = element("input", { type: "checkbox" });
        this.count = element("span", { className: "count" });
        this.empty = element("p", { className: "note" });
        this.current = null;
        this.redraw = onNextFrame(() => this.#layOut());
        this.select.addEventListener("change", () => {
            this.order = this.select.value;
            this.box.scrollTop = 0;
            this.refresh();
        });
        this.hide.addEventListener("change", () => this.refresh());
        this.box.addEventListener("scroll", this.redraw);
        this.box.addEventListener("keydown", event => this.#key(event));
        new ResizeObserver(this.redraw).observe(this.box);
        this.refresh();
    }

    // Sorts anew; what is rejected stays where it is, so that nothing jumps while one rejects.
    refresh() {
        const { picks } = this.view;
        // A report has thumbnails of some only.
        const shown = picks.all.filter(p => picks.isShown(p) && !(this.hide.checked && picks.isRejected(p)) && (this.view.source.canEdit || p.thumbnail >= 0));
        const least = picks.leastScore ?? shown.reduce((a, p) => Math.min(a, p.score ?? a), Infinity);
        const compare = orders[this.order].compare ?? ((a, b) => Math.abs((a.score ?? Infinity) - least) - Math.abs((b.score ?? Infinity) - least));
        this.list = shown.sort((a, b) => compare(a, b) || a.number - b.number);
        const without = this.view.source.canEdit ? 0 : picks.all.filter(p => picks.isShown(p) && p.thumbnail < 0).length;
        this.without = without;
        this.empty.textContent = this.list.length > 0 ? "" : picks.all.length === 0
            ? (this.view.source.canEdit ? "There are no picks yet. A double click on a slice adds one." : "There are no picks.")
            : "No pick passes the sliders.";
        this.showCount();
        this.redraw();
    }

    // Draws all pictures anew, in other grey values or of other slices.
    repaint(reload) {
        if (reload)
            this.pictures.clear();
        this.cells.forEach(cell => { cell.paintedFor = null; });
        this.redraw();
    }

    show(pick) {
        const index = this.list.indexOf(pick);
        if (index < 0)
            return;
        const top = Math.floor(index / this.#columns()) * cellHeight;
        if (top < this.box.scrollTop || top + cellHeight > this.box.scrollTop + this.box.clientHeight)
            this.box.scrollTop = top - this.box.clientHeight / 2 + cellHeight / 2;
        this.redraw();
    }

    // Within the margin of the space.
    #width() {
        return this.box.clientWidth - 8;
    }

    #columns() {
        return Math.max(1, Math.floor(this.#width() / leastCellWidth));
    }

    // Slices on either side of the middle one that a thumbnail is the mean of; one slice alone is too noisy.
    get reach() {
        return Math.max(this.view.reach, 2);
    }

    showCount() {
        const rejected = this.list.filter(p => this.view.picks.isRejected(p)).length;
        const count = this.without === 0 ? `${this.list.length}` : `thumbnails of ${this.list.length} of ${this.list.length + this.without}`;
        this.count.textContent = rejected === 0 ? count : `${count}, ${rejected} rejected`;
    }

    #layOut() {
        if (this.box.clientHeight === 0)
            return;
        const columns = this.#columns();
        const cellWidth = this.#width() / columns;
        this.space.style.height = `${Math.ceil(this.list.length / columns) * cellHeight}px`;
        const first = Math.max(0, Math.floor(this.box.scrollTop / cellHeight) - 1) * columns;
        const last = Math.min(this.list.length, (Math.ceil((this.box.scrollTop + this.box.clientHeight) / cellHeight) + 1) * columns);
        const seen = new Set();
        const missing = [];
        for (let i = first; i < last; i++) {
            const pick = this.list[i];
            seen.add(pick);
            const cell = this.cells.get(pick) ?? this.#create(pick);
            cell.whole.style.transform = `translate(${i % columns * cellWidth}px, ${Math.floor(i / columns) * cellHeight}px)`;
            this.#fill(cell, pick);
            if (!this.pictures.has(this.#pictureOf(pick)))
                missing.push(pick);
        }

        for (const [pick, cell] of this.cells) {
            if (!seen.has(pick)) {
                cell.whole.remove();
                this.cells.delete(pick);
            }
        }

        this.#load(missing);
    }

    #create(pick) {
        const picture = element("canvas", { className: "picture" });
        const state = element("span", { className: "state" });
        const text = element("span", { className: "score" });
        const where = element("button", { type: "button", className: "where", title: "Look at it on the slices, without a decision", tabIndex: -1 }, "show");
        const mark = element("canvas", { className: "mark", width: 2 * markEdge, height: 2 * markEdge });
        if (this.view.source.volume.kinds.length > 1) {
            const context = mark.getContext("2d");
            context.scale(2, 2);
            drawKind(context, pick.kind, markEdge / 2, markEdge / 2, 0.32 * markEdge);
        }

        const whole = element("div", { className: "cell", role: "option", "data-pick": `${pick.number}` }, picture, mark, state, text, where);
        where.addEventListener("click", event => {
            event.stopPropagation();
            this.current = pick;
            this.actions.show(pick);
        });
        whole.addEventListener("click", () => {
            this.current = pick;
            if (this.view.source.canEdit) {
                this.view.picks.reject(pick);
                this.actions.look(pick);
            } else {
                this.actions.show(pick);
            }
        });
        this.space.append(whole);
        const cell = { whole, picture, state, text, paintedFor: null };
        this.cells.set(pick, cell);
        return cell;
    }

    #fill(cell, pick) {
        const rejected = this.view.picks.isRejected(pick);
        const kind = this.view.source.volume.kinds[pick.kind].name;
        cell.whole.classList.toggle("rejected", rejected);
        cell.whole.classList.toggle("selected", pick === this.view.selected);
        cell.whole.classList.toggle("current", pick === this.current);
        cell.state.textContent = rejected ? "✕" : pick.added ? "+" : pick.decision === "accepted" ? "✓" : "";
        cell.text.textContent = `#${pick.number + 1}${pick.score === null ? "" : ` ${pick.score.toFixed(3)}`}`;
        const words = rejected ? "rejected" : pick.added ? "added" : pick.decision === "accepted" ? "accepted" : "kept";
        cell.whole.setAttribute("aria-label", `pick ${pick.number + 1}${kind ? `, ${kind}` : ""}, ${words}`);
        cell.whole.title = `${kind ? `${kind}, ` : ""}z ${pick.z.toFixed(1)}, y ${pick.y.toFixed(1)}, x ${pick.x.toFixed(1)}`
            + `${pick.score === null ? "" : `, score ${pick.score.toFixed(4)}`}${pick.support === null ? "" : `, support ${pick.support.toPrecision(4)}`}`
            + (this.view.source.canEdit ? `\nClick: ${rejected ? "take back" : "reject"}` : "\nClick: show on the slice");
        const pixels = this.pictures.get(this.#pictureOf(pick));
        if (!pixels || cell.paintedFor === pixels)
            return;
        const edge = this.view.source.volume.thumbnailEdge;
        this.view.grey.paint(cell.picture, pixels, edge, edge);
        cell.paintedFor = pixels;
    }

    // A moved pick has another picture.
    #pictureOf(pick) {
        return `${pick.number}/${pick.z}/${pick.y}/${pick.x}`;
    }

    async #load(missing) {
        if (missing.length === 0 || this.loading)
            return;
        this.loading = true;
        const wanted = missing.slice(0, mostAtOnce);
        try {
            const found = await this.view.source.thumbnails(wanted, this.reach);
            wanted.forEach((pick, i) => this.pictures.set(this.#pictureOf(pick), found[i]));
        } catch (error) {
            this.actions.failed(error);
            return;
        } finally {
            this.loading = false;
        }

        this.redraw();
    }

    #key(event) {
        const index = Math.max(0, this.list.indexOf(this.current));
        const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns(), ArrowDown: this.#columns() };
        if (event.key in steps) {
            this.current = this.list[Math.max(0, Math.min(this.list.length - 1, this.current ? index + steps[event.key] : 0))] ?? null;
            this.show(this.current);
        } else if (!this.current || event.ctrlKey || event.metaKey) {
            return;
        } else if (["x", "Delete", "Backspace"].includes(event.key) && this.view.source.canEdit) {
            this.view.picks.reject(this.current);
        } else if (event.key === "a" && this.view.source.canEdit) {
            this.view.picks.accept(this.current);
        } else if (event.key === "Enter") {
            this.actions.show(this.current);
        } else {
            return;
        }

        event.preventDefault();
        event.stopPropagation();
    }
}
