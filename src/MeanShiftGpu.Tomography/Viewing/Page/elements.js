// Small helpers for elements of the page.

// An element with properties and children: element("button", { type: "button", onclick: save }, "Save").
export function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
        if (name.startsWith("aria-") || name.startsWith("data-") || name === "role" || name === "for")
            made.setAttribute(name, value);
        else
            made[name] = value;
    }

    made.append(...children.filter(child => child !== null && child !== undefined));
    return made;
}

// A labelled slider; change gets its number while it is dragged.
export function slider(label, { minimum, maximum, step, value, title = "" }, change) {
    const input = element("input", { type: "range", min: minimum, max: maximum, step, value, title });
    input.addEventListener("input", () => change(Number(input.value)));
    return { input, whole: element("label", { className: "slider" }, element("span", {}, label), input) };
}

// A drawing context whose unit is a pixel of the style sheet, for a canvas as large as it is shown; null where it is hidden.
export function contextOf(canvas) {
    const ratio = window.devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (width === 0 || height === 0)
        return null;
    if (canvas.width !== width || canvas.height !== height) {
        canvas.width = width;
        canvas.height = height;
    }

    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return context;
}

// Calls a function once in the next frame, however often it was asked for.
export function onNextFrame(draw) {
    let asked = false;
    return () => {
        if (asked)
            return;
        asked = true;
        requestAnimationFrame(() => {
            asked = false;
            draw();
        });
    };
}
