// How picks look on slices: a kind of particle has a colour and a shape, so that it can be told without colours.

// Okabe and Ito's colours, which people with any colour vision can tell apart; they stand on grey images.
const colours = ["#f0e442", "#56b4e9", "#e69f00", "#00b388", "#ff7bb5", "#ffffff"];
const corners = [0, 4, 3, -4, 6, 5];

// The outline of a kind: a circle, or a polygon with so many corners; -4 is a square that stands on a corner.
function outline(path, kind, x, y, radius) {
    const count = corners[kind % corners.length];
    if (count === 0) {
        path.moveTo(x + radius, y);
        path.arc(x, y, radius, 0, 2 * Math.PI);
        return;
    }

    const start = count === 4 ? Math.PI / 4 : -Math.PI / 2;
    for (let i = 0; i < Math.abs(count); i++) {
        const angle = start + 2 * Math.PI * i / Math.abs(count);
        // As large to the eye as the circle.
        const reach = radius * (Math.abs(count) === 3 ? 1.25 : 1.12);
        const [right, down] = [x + reach * Math.cos(angle), y + reach * Math.sin(angle)];
        if (i === 0)
            path.moveTo(right, down);
        else
            path.lineTo(right, down);
    }

    path.closePath();
}

const largestStamp = 24;
const stamps = new Map();

// The outline of a pick; strength, up to 1, is less where the slice cuts the ball far from its middle. A slice may cut thousands of picks, and a
// browser without a GPU takes a tenth of a second to trace so many lines: small outlines are traced once and stamped.
export function drawOutline(context, pick, rejected, x, y, radius, strength) {
    context.globalAlpha = strength > 2 / 3 ? 1 : strength > 1 / 3 ? 0.65 : 0.35;
    if (radius > largestStamp) {
        trace(context, pick.kind, rejected, false, x, y, radius);
    } else {
        const ratio = window.devicePixelRatio || 1;
        const half = Math.round(2 * radius) / 2;
        const key = `${pick.kind % colours.length}/${rejected}/${half}/${ratio}`;
        if (!stamps.has(key))
            stamps.set(key, stampOf(pick.kind, rejected, half, ratio));
        const stamp = stamps.get(key);
        const edge = stamp.width / ratio;
        // On whole pixels it stays as sharp as it was traced.
        const whole = value => Math.round((value - edge / 2) * ratio) / ratio;
        context.drawImage(stamp, whole(x), whole(y), edge, edge);
    }

    context.globalAlpha = 1;
}

function stampOf(kind, rejected, radius, ratio) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 2 * Math.ceil((1.3 * radius + 3) * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    trace(context, kind, rejected, false, canvas.width / ratio / 2, canvas.width / ratio / 2, radius);
    return canvas;
}

function trace(context, kind, rejected, selected, x, y, radius) {
    const path = new Path2D();
    outline(path, kind, x, y, radius);
    context.setLineDash(rejected ? [3, 3] : []);
    stroke(context, kind, selected, path);
    context.setLineDash([]);
}

// A thin line with a dark rim.
function stroke(context, kind, selected, path) {
    context.strokeStyle = "rgb(0 0 0 / 0.65)";
    context.lineWidth = selected ? 5 : 3;
    context.stroke(path);
    context.strokeStyle = colours[kind % colours.length];
    context.lineWidth = selected ? 2.6 : 1.3;
    context.stroke(path);
}

// What tells a pick from others of its kind: the thick outline of the one that is selected, a cross where it is rejected, a plus where a person added it,
// and a dot where they moved or accepted it.
export function drawSigns(context, pick, rejected, x, y, radius, selected) {
    const path = new Path2D();
    const small = Math.min(5, radius);
    if (rejected) {
        path.moveTo(x - small, y - small);
        path.lineTo(x + small, y + small);
        path.moveTo(x + small, y - small);
        path.lineTo(x - small, y + small);
    } else if (pick.added) {
        path.moveTo(x - small, y);
        path.lineTo(x + small, y);
        path.moveTo(x, y - small);
        path.lineTo(x, y + small);
    } else if (pick.moved || pick.decision === "accepted") {
        path.arc(x, y, 1.2, 0, 2 * Math.PI);
    } else if (!selected) {
        return;
    }

    stroke(context, pick.kind, selected, path);
    if (selected)
        trace(context, pick.kind, rejected, true, x, y, radius);
}

// A small picture of a kind, for legends and thumbnails.
export function drawKind(context, kind, x, y, radius) {
    trace(context, kind, false, false, x, y, radius);
}
