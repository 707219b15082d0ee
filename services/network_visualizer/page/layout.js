// Where the nodes are put. At first, at once and always the same: each server in the middle of a
// disc, its clients around it in a sunflower's spiral, the discs packed around the largest. `refine`
// then moves nodes towards those they have transports with, as far as their place allows; a worker
// runs it. Units are pixels at scale 1.

import {SERVER} from './network.js';

const TURN = Math.PI * (3 - Math.sqrt(5));

function spacingOf(size) {
    if (size <= 60) return 130;
    return size <= 400 ? 70 : 34;
}

function slotOffset(slot, spacing) {
    const radius = spacing * Math.sqrt(slot + 1);
    const angle = slot * TURN;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

// The first place on a spiral where the disc touches none of those that are there.
function packDiscs(discs) {
    const placed = [];
    let step = 0;
    for (const disc of discs) {
        for (let tries = 0; ; ++step, ++tries) {
            const radius = discs[0].radius * 0.5 * Math.sqrt(step);
            // Screens are wider than high.
            disc.x = 1.6 * radius * Math.cos(step * TURN);
            disc.y = radius * Math.sin(step * TURN);
            const free = placed.every(
                other => Math.hypot(disc.x - other.x, disc.y - other.y) >= disc.radius + other.radius
            );
            if (free || tries > 5000) break;
        }
        placed.push(disc);
        // Smaller ones may fit further inside.
        if (placed.length < 64) step = 1;
    }
}

export class Layout {
    constructor() {
        this.spacing = 0;
        // By the server's key, '' for nodes without one.
        this.discs = new Map();
        // By key: {home, slot}, kept while the network changes so that nothing jumps.
        this.slots = new Map();
        this.x = new Float32Array(0);
        this.y = new Float32Array(0);
    }

    // Places all nodes of the network; those that were there keep their places where they can.
    // `before` are the positions shown until now, by key.
    place(network) {
        const members = this.#members(network);
        if (!this.#fits(network, members)) this.#begin(network, members);
        this.#takeSlots(network, members);
        this.x = new Float32Array(network.size);
        this.y = new Float32Array(network.size);
        for (let node = 0; node < network.size; ++node) {
            const key = network.keys[node];
            const own = this.discs.get(key);
            if (network.kinds[node] === SERVER && own) {
                this.x[node] = own.x;
                this.y[node] = own.y;
                continue;
            }
            const {home, slot} = this.slots.get(key);
            const disc = this.discs.get(home);
            const [dx, dy] = slotOffset(slot, this.spacing);
            this.x[node] = disc.x + dx;
            this.y[node] = disc.y + dy;
        }
    }

    #members(network) {
        const members = new Map();
        for (let node = 0; node < network.size; ++node)
            if (network.kinds[node] === SERVER) members.set(network.keys[node], []);
        for (let node = 0; node < network.size; ++node) {
            if (network.kinds[node] === SERVER) continue;
            const server = network.home(node);
            const home = server < 0 ? '' : network.keys[server];
            if (!members.has(home)) members.set(home, []);
            members.get(home).push(network.keys[node]);
        }
        return members;
    }

    #fits(network, members) {
        if (spacingOf(network.size) !== this.spacing) return false;
        for (const [home, keys] of members) {
            const disc = this.discs.get(home);
            if (!disc || keys.length > disc.capacity) return false;
        }
        return true;
    }

    #begin(network, members) {
        this.spacing = spacingOf(network.size);
        this.slots.clear();
        const discs = [...members].map(([home, keys]) => {
            // With room for those who come.
            const capacity = Math.ceil(keys.length * 1.25) + 2;
            const radius = this.spacing * (Math.sqrt(keys.length * 1.1 + 1) + 0.8);
            return {home, capacity, radius, x: 0, y: 0};
        });
        discs.sort((a, b) => b.capacity - a.capacity || (a.home < b.home ? -1 : 1));
        packDiscs(discs);
        this.discs = new Map(discs.map(disc => [disc.home, disc]));
    }

    #takeSlots(network, members) {
        for (const [home, keys] of members) {
            const taken = new Set();
            const homeless = [];
            for (const key of keys) {
                const slot = this.slots.get(key);
                if (slot && slot.home === home) taken.add(slot.slot);
                else homeless.push(key);
            }
            let free = 0;
            for (const key of homeless) {
                while (taken.has(free)) ++free;
                taken.add(free);
                this.slots.set(key, {home, slot: free});
            }
        }
        for (const key of this.slots.keys())
            if (!network.index.has(key)) this.slots.delete(key);
    }
}

// Nodes in squares of side `cell`, to find neighbours.
function bucket(x, y, cell) {
    const cells = new Map();
    for (let i = 0; i < x.length; ++i) {
        const id = Math.floor(x[i] / cell) * 65536 + Math.floor(y[i] / cell);
        const list = cells.get(id);
        if (list) list.push(i);
        else cells.set(id, [i]);
    }
    return cells;
}

function pushApart(x, y, fixed, cell) {
    const cells = bucket(x, y, cell);
    for (const [id, list] of cells) {
        // Itself and four of its neighbours: each pair once.
        for (const step of [0, 1, 65536, 65537, 65535]) {
            const other = cells.get(id + step);
            if (!other) continue;
            for (let n = 0; n < list.length; ++n) {
                const i = list[n];
                for (let m = step === 0 ? n + 1 : 0; m < other.length; ++m) {
                    const j = other[m];
                    const dx = x[i] - x[j];
                    const dy = y[i] - y[j];
                    const distance = Math.hypot(dx, dy);
                    if (distance >= cell) continue;
                    const push = distance > 0.01 ? 0.25 * (cell - distance) / distance : 0.5;
                    if (!fixed[i]) { x[i] += dx * push; y[i] += dy * push; }
                    if (!fixed[j]) { x[j] -= dx * push; y[j] -= dy * push; }
                }
            }
        }
    }
}

// One step of forces, in place: transports pull, places hold, neighbours push.
export function refine({x, y, placeX, placeY, fixed, from, to, degrees, spacing}) {
    for (let i = 0; i < from.length; ++i) {
        const a = from[i];
        const b = to[i];
        const dx = x[b] - x[a];
        const dy = y[b] - y[a];
        const distance = Math.hypot(dx, dy);
        if (distance < spacing) continue;
        const pull = 0.15 * spacing / distance;
        if (!fixed[a]) { x[a] += dx * pull / degrees[a]; y[a] += dy * pull / degrees[a]; }
        if (!fixed[b]) { x[b] -= dx * pull / degrees[b]; y[b] -= dy * pull / degrees[b]; }
    }
    for (let i = 0; i < x.length; ++i) {
        if (fixed[i]) continue;
        x[i] += 0.06 * (placeX[i] - x[i]);
        y[i] += 0.06 * (placeY[i] - y[i]);
    }
    pushApart(x, y, fixed, spacing);
}
