// Bytes as grey pixels. The program leaves a reserve on either side of the percentiles, so that contrast can be turned down as well as up.

const usual = { low: 255 / 6, high: 255 * 5 / 6 };

export class Grey {
    constructor() {
        this.reset();
    }

    reset() {
        this.brightness = 0;
        this.contrast = 0;
        this.#update();
    }

    // Both from -1 to 1; 0 shows the percentiles as black and white.
    set(brightness, contrast) {
        this.brightness = Math.max(-1, Math.min(1, brightness));
        this.contrast = Math.max(-1, Math.min(1, contrast));
        this.#update();
    }

    #update() {
        const width = (usual.high - usual.low) * 4 ** -this.contrast;
        const middle = (usual.low + usual.high) / 2 - 128 * this.brightness;
        this.table = new Uint32Array(256);
        for (let i = 0; i < 256; i++) {
            const grey = Math.round(255 * Math.max(0, Math.min(1, (i - middle) / width + 0.5)));
            this.table[i] = 0xff000000 | grey << 16 | grey << 8 | grey;
        }
    }

    // A canvas with a picture of bytes.
    paint(canvas, pixels, width, height) {
        canvas.width = width;
        canvas.height = height;
        const context = canvas.getContext("2d");
        const image = context.createImageData(width, height);
        const colours = new Uint32Array(image.data.buffer);
        const table = this.table;
        for (let i = 0; i < colours.length; i++)
            colours[i] = table[pixels[i]];
        context.putImageData(image, 0, 0);
    }
}

// A score map over a slice: the brighter the score, the less of the slice is seen through it.
export function paintScores(canvas, pixels, width, height) {
    canvas.width = width;
    canvas.height = height;
    const context = canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const colours = new Uint32Array(image.data.buffer);
    for (let i = 0; i < colours.length; i++)
        colours[i] = pixels[i] << 24 | 0x30 << 16 | 0x9a << 8 | 0xff;
    context.putImageData(image, 0, 0);
}
