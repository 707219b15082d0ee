// Which node is at a point: nodes in squares of the plane.

const CELL = 64;

export class Picker {
    constructor() {
        this.cells = new Map();
    }

    fill(x, y) {
        this.x = x;
        this.y = y;
        this.cells.clear();
        for (let i = 0; i < x.length; ++i) {
            const id = this.#id(Math.floor(x[i] / CELL), Math.floor(y[i] / CELL));
            const list = this.cells.get(id);
            if (list) list.push(i);
            else this.cells.set(id, [i]);
        }
    }

    // The nearest node within this distance, or -1.
    at(x, y, distance) {
        let best = -1;
        let least = distance;
        const reach = Math.ceil(distance / CELL);
        // Far out everything is near: looking at all nodes costs less then.
        if (reach > 8) return this.#nearest([...this.cells.values()].flat(), x, y, distance);
        const column = Math.floor(x / CELL);
        const row = Math.floor(y / CELL);
        for (let dx = -reach; dx <= reach; ++dx) {
            for (let dy = -reach; dy <= reach; ++dy) {
                const list = this.cells.get(this.#id(column + dx, row + dy));
                if (!list) continue;
                const node = this.#nearest(list, x, y, least);
                if (node < 0) continue;
                best = node;
                least = Math.hypot(this.x[node] - x, this.y[node] - y);
            }
        }
        return best;
    }

    #nearest(list, x, y, distance) {
        let best = -1;
        let least = distance;
        for (const node of list) {
            const away = Math.hypot(this.x[node] - x, this.y[node] - y);
            if (away > least) continue;
            best = node;
            least = away;
        }
        return best;
    }

    #id(column, row) { return column * 131072 + row; }
}
