// The picks and what was changed about them, with undo.

export class Picks {
    // Those that came from the table have the numbers of its rows; added ones follow.
    constructor(volume) {
        const points = volume.points;
        this.all = points.z.map((_, i) => ({
            number: i,
            z: points.z[i], y: points.y[i], x: points.x[i],
            score: points.score ? points.score[i] : null,
            support: points.support ? points.support[i] : null,
            kind: points.kind[i],
            rank: points.rank ? points.rank[i] : null,
            thumbnail: points.thumbnail ? points.thumbnail[i] : -1,
            decision: null,
            moved: false,
            added: false,
        }));
        this.fromTable = this.all.length;
        this.leastScore = null;
        this.leastSupport = null;
        this.listeners = [];
        this.unsaved = false;
        this.done = [];
        this.undone = [];
        for (const pick of this.all)
            pick.original = { z: pick.z, y: pick.y, x: pick.x };
    }

    // Whether sliders let a pick pass; what a person has decided counts more.
    passes(pick) {
        return !(this.leastScore !== null && pick.score !== null && pick.score < this.leastScore)
            && !(this.leastSupport !== null && pick.support !== null && pick.support < this.leastSupport);
    }

    isKept(pick) {
        return pick.decision !== "rejected" && (pick.decision === "accepted" || pick.moved || pick.added || this.passes(pick));
    }

    isRejected(pick) {
        return pick.decision === "rejected";
    }

    // Kept and rejected ones are shown; those below a slider are not.
    isShown(pick) {
        return this.isRejected(pick) ? !pick.added : this.isKept(pick);
    }

    reject(pick) {
        this.#decide(pick, this.isRejected(pick) ? null : "rejected", this.isRejected(pick) ? "taken back" : pick.added ? "removed" : "rejected");
    }

    accept(pick) {
        if (pick.decision !== "accepted")
            this.#decide(pick, "accepted", "accepted");
    }

    add(place, kind) {
        const pick = {
            number: this.all.length, ...place, original: place, score: null, support: null, kind, rank: null, thumbnail: -1,
            decision: "rejected", moved: false, added: true,
        };
        this.all.push(pick);
        this.#decide(pick, null, "added");
        return pick;
    }

    move(pick, from, to) {
        const wasMoved = pick.moved;
        this.#run({
            what: `pick ${pick.number + 1} moved`,
            redo: () => Object.assign(pick, to, { moved: !pick.added }),
            undo: () => Object.assign(pick, from, { moved: wasMoved }),
        });
    }

    setLeast(which, value) {
        this[which] = value;
        this.unsaved = true;
        this.#tell("filter");
    }

    setSupports(supports) {
        supports.forEach((value, i) => { this.all[i].support = value; });
        this.#tell("supports");
    }

    undo() {
        return this.#step(this.done, this.undone, "undo");
    }

    redo() {
        return this.#step(this.undone, this.done, "redo");
    }

    // What the program keeps and saves.
    changes() {
        const own = this.all.slice(0, this.fromTable);
        return {
            removed: own.filter(p => p.decision === "rejected").map(p => p.number),
            accepted: own.filter(p => p.decision === "accepted").map(p => p.number),
            moved: own.filter(p => p.moved).map(p => ({ pick: p.number, z: p.z, y: p.y, x: p.x })),
            added: this.all.slice(this.fromTable).filter(p => p.decision !== "rejected").map(p => ({ z: p.z, y: p.y, x: p.x, kind: p.kind })),
            leastScore: this.leastScore,
            leastSupport: this.leastSupport,
        };
    }

    // Takes up what an earlier load of the page has changed.
    restore(changes) {
        changes.removed.forEach(i => { this.all[i].decision = "rejected"; });
        changes.accepted.forEach(i => { this.all[i].decision = "accepted"; });
        changes.moved.forEach(m => Object.assign(this.all[m.pick], { z: m.z, y: m.y, x: m.x, moved: true }));
        changes.added.forEach(a => {
            const place = { z: a.z, y: a.y, x: a.x };
            this.all.push({
                number: this.all.length, ...place, original: place, score: null, support: null, kind: a.kind, rank: null, thumbnail: -1,
                decision: null, moved: false, added: true,
            });
        });
        this.leastScore = changes.leastScore;
        this.leastSupport = changes.leastSupport;
        this.unsaved = true;
    }

    counts() {
        const count = is => this.all.reduce((sum, p) => sum + (is(p) ? 1 : 0), 0);
        return {
            total: this.fromTable,
            kept: count(p => this.isKept(p)),
            rejected: count(p => !p.added && this.isRejected(p)),
            below: count(p => !p.added && !this.isRejected(p) && !this.isKept(p)),
            added: count(p => p.added && !this.isRejected(p)),
            moved: count(p => p.moved),
        };
    }

    #decide(pick, decision, what) {
        const before = pick.decision;
        this.#run({
            what: `pick ${pick.number + 1} ${what}`,
            redo: () => { pick.decision = decision; },
            undo: () => { pick.decision = before; },
        });
    }

    #run(change) {
        change.redo();
        this.done.push(change);
        this.undone = [];
        this.unsaved = true;
        this.#tell("changed", change.what);
    }

    #step(from, to, which) {
        const change = from.pop();
        if (!change)
            return false;
        change[which]();
        to.push(change);
        this.unsaved = true;
        this.#tell("changed", which === "undo" ? `undone: ${change.what}` : change.what);
        return true;
    }

    #tell(what, words) {
        this.listeners.forEach(listener => listener(what, words));
    }
}
