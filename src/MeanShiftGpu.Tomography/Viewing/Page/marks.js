// How picks look on slices: a kind of particle has a colour and a shape, so that it can be told without colours.

// Okabe and Ito's colours, which people with any colour vision can tell apart; they stand on grey images.
const colours = ["#f0e442", "#56b4e9", "#e69f00", "#00b388", "#ff7bb5", "#ffffff"];
const corners = [0, 4, 3, -4, 6, 5];

// The outline of a kind: a circle, or a polygon with so many corners; -4 is a square that stands on a corner.
export function outline(context, kind, x, y, radius) {
    const count = corners[kind % corners.length];
    context.beginPath();
    if (count === 0) {
        context.arc(x, y, radius, 0, 2 * Math.PI);
        return;
    }

    const start = count === 4 ? Math.PI / 4 : -Math.PI / 2;
    for (let i = 0; i < Math.abs(count); i++) {
        const angle = start + 2 * Math.PI * i / Math.abs(count);
        // As large to the eye as the circle.
        const reach = radius * (Math.abs(count) === 3 ? 1.25 : 1.12);
        context.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
    }

    context.closePath();
}

// A pick: a thin line with a dark rim, broken and crossed out where it is rejected, with a dot where a person moved or accepted it and a plus where
// they added it. strength, up to 1, is less where the slice cuts the ball far from its middle.
export function drawMark(context, pick, rejected, x, y, radius, selected, strength) {
    const stroke = trace => {
        context.strokeStyle = "rgb(0 0 0 / 0.65)";
        context.lineWidth = selected ? 5 : 3;
        trace();
        context.stroke();
        context.strokeStyle = colours[pick.kind % colours.length];
        context.lineWidth = selected ? 2.6 : 1.3;
        context.stroke();
    };
    context.save();
    context.globalAlpha = selected ? 1 : 0.35 + 0.65 * strength;
    context.setLineDash(rejected ? [3, 3] : []);
    stroke(() => outline(context, pick.kind, x, y, radius));
    context.setLineDash([]);
    const small = Math.min(5, radius);
    if (rejected) {
        stroke(() => {
            context.beginPath();
            context.moveTo(x - small, y - small);
            context.lineTo(x + small, y + small);
            context.moveTo(x + small, y - small);
            context.lineTo(x - small, y + small);
        });
    } else if (pick.added) {
        stroke(() => {
            context.beginPath();
            context.moveTo(x - small, y);
            context.lineTo(x + small, y);
            context.moveTo(x, y - small);
            context.lineTo(x, y + small);
        });
    } else if (pick.moved || pick.decision === "accepted") {
        stroke(() => {
            context.beginPath();
            context.arc(x, y, 1.2, 0, 2 * Math.PI);
        });
    }

    context.restore();
}

// A small picture of a kind, for legends and thumbnails.
export function drawKind(context, kind, x, y, radius) {
    outline(context, kind, x, y, radius);
    context.strokeStyle = "rgb(0 0 0 / 0.7)";
    context.lineWidth = 3;
    context.stroke();
    context.strokeStyle = colours[kind % colours.length];
    context.lineWidth = 1.5;
    context.stroke();
}
