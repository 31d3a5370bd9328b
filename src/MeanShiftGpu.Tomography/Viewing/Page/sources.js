// Where slices, thumbnails and picks come from: the program that serves the page, or data within the page itself.
//
// A volume is { name, shape: [depth, height, width], voxelAngstrom, kinds: [{ name, diameter }], points: { z, y, x, score, support, kind, rank },
// hasScoreMap, thumbnailEdge }; places are in voxels, 0 is the centre of the first. A slice is { at, width, height, bin, pixels }.

const memoryForSlices = 96 << 20;

export class LiveSource {
    static async open() {
        const source = new LiveSource();
        const session = await source.#json("session");
        source.volume = session.volume;
        source.canSave = session.canSave;
        source.canEdit = true;
        source.changes = session.changes;
        source.depths = null;
        return source;
    }

    #slices = new Map();
    #held = 0;

    // The mean of the slices around a place; null while the program is not ready for it, and then what part of it is.
    async slice(plane, at, reach, layer) {
        const address = `slice?plane=${plane}&at=${at}&reach=${reach}&layer=${layer}`;
        const known = this.#slices.get(address);
        if (known) {
            // The one that was used last is dropped last.
            this.#slices.delete(address);
            this.#slices.set(address, known);
            return known;
        }

        const answer = await this.#fetch(address);
        if (answer.status === 202)
            return { waiting: Number(await answer.text()) };
        const pixels = new Uint8Array(await answer.arrayBuffer());
        const [height, width, bin] = answer.headers.get("X-Slice").split(",").map(Number);
        const slice = { at, height, width, bin, pixels };
        this.#slices.set(address, slice);
        this.#held += pixels.length;
        for (const [oldest, dropped] of this.#slices) {
            if (this.#held <= memoryForSlices || this.#slices.size <= 2)
                break;
            this.#slices.delete(oldest);
            this.#held -= dropped.pixels.length;
        }

        return slice;
    }

    // Squares around places, one after the other: [{ z, y, x }] to arrays of pixels.
    async thumbnails(places, reach) {
        const at = places.map(p => `${p.z.toFixed(1)},${p.y.toFixed(1)},${p.x.toFixed(1)}`).join(";");
        const answer = await this.#fetch(`thumbnails?reach=${reach}&at=${at}`);
        const all = new Uint8Array(await answer.arrayBuffer());
        const size = this.volume.thumbnailEdge ** 2;
        return places.map((_, i) => all.subarray(i * size, (i + 1) * size));
    }

    // The supports of the picks, once the program has computed them; null where it has no score map.
    async supports() {
        while (this.volume.hasScoreMap) {
            const answer = await this.#fetch("supports");
            if (answer.status !== 202)
                return await answer.json();
            await new Promise(resolve => setTimeout(resolve, 500));
        }

        return null;
    }

    // What was changed, which the program keeps for a page that is loaded again.
    keep(changes) {
        return this.#post("changes", changes);
    }

    async save(changes) {
        return await (await this.#post("save", changes)).json();
    }

    #post(address, content) {
        return this.#fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });
    }

    async #json(address) {
        return await (await this.#fetch(address)).json();
    }

    async #fetch(address, options = {}) {
        let answer;
        try {
            answer = await fetch(address, options);
        } catch {
            throw new Error("the program no longer answers; it may have ended");
        }

        if (!answer.ok)
            throw new Error(await answer.text());
        return answer;
    }
}

// A page that was written to be mailed: it has some slices of one plane, and cannot change anything.
export class EmbeddedSource {
    constructor(volume) {
        this.volume = volume;
        this.canEdit = false;
        this.canSave = false;
        this.changes = null;
        this.slices = volume.slices.map(s => ({ ...s, pixels: bytesOf(s.pixels) }));
        this.depths = this.slices.map(s => s.at);
        this.#squares = bytesOf(volume.thumbnails);
    }

    #squares;

    async slice(plane, at) {
        if (plane !== "xy" || this.slices.length === 0)
            return null;
        return this.slices.reduce((best, s) => Math.abs(s.at - at) < Math.abs(best.at - at) ? s : best);
    }

    async thumbnails(places) {
        const size = this.volume.thumbnailEdge ** 2;
        return places.map(p => p.thumbnail < 0 ? null : this.#squares.subarray(p.thumbnail * size, (p.thumbnail + 1) * size));
    }

    async supports() {
        return this.volume.points.support;
    }
}

function bytesOf(base64) {
    return Uint8Array.from(atob(base64), c => c.charCodeAt(0));
}
