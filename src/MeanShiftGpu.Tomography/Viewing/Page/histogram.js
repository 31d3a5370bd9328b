// A slider over the histogram of what it selects by: bars of what is kept are full, bars below the slider are outlines.
import { contextOf, element, onNextFrame } from "./elements.js";

const bars = 48;

export class HistogramSlider {
    // changed gets the least value, or null where all pass.
    constructor(label, changed) {
        this.canvas = element("canvas", { className: "histogram" });
        this.input = element("input", { type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": `least ${label}` });
        this.number = element("input", { type: "number", step: "any", "aria-label": `least ${label}, as a number` });
        this.ends = [element("span", {}), element("span", {})];
        this.whole = element("div", { className: "filter", title: `Picks of a lower ${label} are hidden, and not saved.` },
            element("div", { className: "filter-head" }, element("span", {}, label), element("span", {}, "keep at least ", this.number)),
            this.canvas, this.input, element("div", { className: "filter-ends" }, ...this.ends));
        this.redraw = onNextFrame(() => this.#draw());
        this.input.addEventListener("input", () => this.#choose(this.low + (this.high - this.low) * this.input.value / 1000, changed));
        this.number.addEventListener("change", () => this.#choose(Number(this.number.value), changed));
        new ResizeObserver(this.redraw).observe(this.canvas);
        this.setValues([], null);
    }

    // The values, and the least that passes.
    setValues(values, least) {
        this.whole.hidden = values.length === 0;
        this.low = values.reduce((a, b) => Math.min(a, b), Infinity);
        this.high = values.reduce((a, b) => Math.max(a, b), -Infinity);
        if (values.length === 0)
            [this.low, this.high] = [0, 1];
        if (this.high <= this.low)
            this.high = this.low + 1e-6 + Math.abs(this.low) * 1e-6;
        this.counts = new Array(bars).fill(0);
        for (const value of values)
            this.counts[Math.min(bars - 1, Math.floor(bars * (value - this.low) / (this.high - this.low)))]++;
        this.least = least ?? this.low;
        [this.ends[0].textContent, this.ends[1].textContent] = [this.low, this.high].map(v => `${Number(v.toPrecision(3))}`);
        this.#show();
    }

    #choose(value, changed) {
        if (!Number.isFinite(value))
            return;
        this.least = Math.max(this.low, Math.min(this.high, value));
        this.#show();
        changed(this.least <= this.low ? null : this.least);
    }

    #show() {
        this.input.value = Math.round(1000 * (this.least - this.low) / (this.high - this.low));
        this.number.value = Number(this.least.toPrecision(4));
        this.redraw();
    }

    #draw() {
        const context = contextOf(this.canvas);
        if (!context)
            return;
        const style = getComputedStyle(this.canvas);
        const width = this.canvas.clientWidth, height = this.canvas.clientHeight;
        context.clearRect(0, 0, width, height);
        const largest = Math.max(1, ...this.counts);
        const edge = (this.least - this.low) / (this.high - this.low) * width;
        context.fillStyle = style.getPropertyValue("--accent");
        context.strokeStyle = style.getPropertyValue("--soft");
        this.counts.forEach((count, i) => {
            if (count === 0)
                return;
            // A bar of one pick among thousands is seen, too.
            const tall = Math.max(2, Math.sqrt(count / largest) * (height - 3));
            const left = i * width / bars + 0.5, wide = width / bars - 1;
            if (left + wide / 2 >= edge)
                context.fillRect(left, height - tall, wide, tall);
            else
                context.strokeRect(left + 0.5, height - tall + 0.5, wide - 1, tall - 1);
        });
        context.strokeStyle = style.getPropertyValue("--ink");
        context.lineWidth = 1.5;
        context.beginPath();
        context.moveTo(edge, 0);
        context.lineTo(edge, height);
        context.stroke();
    }
}
