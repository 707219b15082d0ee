// Draws one picture: lines first, one path for each colour, then nodes, then labels where they fit.
// Lines are never wider than one device pixel, which every canvas draws fast.

import {CLIENT, SERVER, shortKey, TYPES, VISOR} from './network.js';

// So few that everything gets its label, whatever it covers.
const FEW = 80;
const LABELS_MAX = 240;
// More nodes in view than this: only servers and what is chosen are labelled.
const LABELLED_NODES_MAX = 600;
const LABELLED_LINKS_MAX = 60;
const SESSIONS_MAX = 2500;
// From so many transports on lines shine through, so that what is below them is seen.
const MANY_LINKS = 1200;
const FONT = '11px ui-monospace, "DejaVu Sans Mono", monospace';
const LETTER = 6.7;
const LINE = 13;

function colour(styles, name) {
    return styles.getPropertyValue(name).trim();
}

// Rectangles that are taken by labels, found by their place in squares of the screen.
class Occupied {
    constructor() {
        this.cells = new Map();
    }

    #visit(box, each) {
        for (let column = Math.floor(box.left / 96); column <= Math.floor(box.right / 96); ++column)
            for (let row = Math.floor(box.top / 32); row <= Math.floor(box.bottom / 32); ++row)
                if (each(column * 4096 + row)) return true;
        return false;
    }

    free(box) {
        return !this.#visit(box, id => (this.cells.get(id) ?? []).some(
            other => other.left < box.right && box.left < other.right && other.top < box.bottom &&
                box.top < other.bottom
        ));
    }

    take(box) {
        this.#visit(box, id => {
            const list = this.cells.get(id);
            if (list) list.push(box);
            else this.cells.set(id, [box]);
            return false;
        });
    }
}

export class Painter {
    constructor(canvas) {
        this.canvas = canvas;
        this.context = canvas.getContext('2d', {alpha: false});
        this.readColours();
    }

    readColours() {
        const styles = getComputedStyle(document.documentElement);
        this.back = colour(styles, '--back');
        this.text = colour(styles, '--text');
        this.quiet = colour(styles, '--quiet');
        this.accent = colour(styles, '--accent');
        this.session = colour(styles, '--session');
        this.service = colour(styles, '--service');
        this.kinds = [colour(styles, '--server'), colour(styles, '--client'), colour(styles, '--visor')];
        this.types = TYPES.map(type => colour(styles, `--type-${type}`));
    }

    // To the size of its element; true where it has changed.
    resize(camera) {
        const ratio = Math.min(2, window.devicePixelRatio || 1);
        const {clientWidth, clientHeight} = this.canvas;
        const width = Math.max(1, Math.round(clientWidth * ratio));
        const height = Math.max(1, Math.round(clientHeight * ratio));
        camera.width = clientWidth;
        camera.height = clientHeight;
        this.ratio = ratio;
        if (this.canvas.width === width && this.canvas.height === height) return false;
        this.canvas.width = width;
        this.canvas.height = height;
        return true;
    }

    // Draws the network as the camera sees it. `chosen` and `hovered` are nodes or -1, `chosenLink` a
    // transport or -1; `moving` leaves out what can wait until the picture stands still, and all but
    // one of `thin` transports. Answers what
    // is in the picture: {nodes, links, labelledNodes, labelledLinks}.
    draw({network, x, y, camera, chosen, hovered, chosenLink, moving, thin}) {
        const view = this.#project(x, y, camera);
        const context = this.context;
        context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
        context.fillStyle = this.back;
        context.fillRect(0, 0, camera.width, camera.height);
        const few = network.size + network.links <= FEW;
        const sessions = this.#drawSessions(network, view, camera, moving);
        const links = this.#drawLinks(network, view, camera, thin);
        if (chosen >= 0) this.#drawChosen(network, view, chosen);
        if (chosenLink >= 0) this.#drawChosenLink(network, view, chosenLink);
        const nodes = this.#visible(view, camera);
        this.#drawNodes(network, view, nodes, camera, chosen, hovered);
        const labels = this.#drawLabels({
            network, view, nodes, links, chosen, hovered, chosenLink, few, moving, scale: camera.scale,
        });
        return {nodes, links, sessions, view, ...labels};
    }

    #project(x, y, camera) {
        const size = x.length;
        if (!this.view || this.view.x.length !== size)
            this.view = {x: new Float32Array(size), y: new Float32Array(size)};
        const view = this.view;
        const dx = camera.width / 2 - camera.x * camera.scale;
        const dy = camera.height / 2 - camera.y * camera.scale;
        for (let i = 0; i < size; ++i) {
            view.x[i] = x[i] * camera.scale + dx;
            view.y[i] = y[i] * camera.scale + dy;
        }
        return view;
    }

    #visible(view, camera) {
        const nodes = [];
        for (let i = 0; i < view.x.length; ++i) {
            if (view.x[i] > -20 && view.x[i] < camera.width + 20 && view.y[i] > -20 &&
                view.y[i] < camera.height + 20) nodes.push(i);
        }
        return nodes;
    }

    // Whether both ends lie on the same side of the picture.
    static #outside(ax, ay, bx, by, camera) {
        return (ax < 0 && bx < 0) || (ay < 0 && by < 0) || (ax > camera.width && bx > camera.width) ||
            (ay > camera.height && by > camera.height);
    }

    #line(width, style) {
        this.context.lineWidth = width / this.ratio;
        this.context.strokeStyle = style;
    }

    #drawSessions(network, view, camera, moving) {
        const {sessionClient, sessionServer} = network;
        const seen = [];
        for (let i = 0; i < sessionClient.length; ++i) {
            const a = sessionClient[i];
            const b = sessionServer[i];
            if (Painter.#outside(view.x[a], view.y[a], view.x[b], view.y[b], camera)) continue;
            if (seen.length >= SESSIONS_MAX || (moving && seen.length >= SESSIONS_MAX / 4)) return 0;
            seen.push(i);
        }
        const context = this.context;
        context.beginPath();
        for (const i of seen) {
            context.moveTo(view.x[sessionClient[i]], view.y[sessionClient[i]]);
            context.lineTo(view.x[sessionServer[i]], view.y[sessionServer[i]]);
        }
        this.#line(1, this.session);
        context.stroke();
        return seen.length;
    }

    #drawLinks(network, view, camera, thin) {
        const {from, to, colours, links} = network;
        const seen = [];
        const context = this.context;
        context.globalAlpha = Math.max(0.25, Math.min(1, MANY_LINKS / links));
        for (let type = 0; type < TYPES.length; ++type) {
            context.beginPath();
            let any = false;
            for (let i = 0; i < links; i += thin) {
                if (colours[i] !== type) continue;
                const ax = view.x[from[i]], ay = view.y[from[i]];
                const bx = view.x[to[i]], by = view.y[to[i]];
                if (Painter.#outside(ax, ay, bx, by, camera)) continue;
                any = true;
                seen.push(i);
                context.moveTo(ax, ay);
                if (from[i] === to[i]) context.arc(ax, ay - 9, 9, Math.PI / 2, Math.PI * 2.5);
                else context.lineTo(bx, by);
            }
            if (!any) continue;
            this.#line(1, this.types[type]);
            context.stroke();
        }
        context.globalAlpha = 1;
        return seen;
    }

    #drawChosen(network, view, node) {
        const context = this.context;
        context.beginPath();
        for (let i = 0; i < network.links; ++i) {
            if (network.from[i] !== node && network.to[i] !== node) continue;
            context.moveTo(view.x[network.from[i]], view.y[network.from[i]]);
            context.lineTo(view.x[network.to[i]], view.y[network.to[i]]);
        }
        for (const server of network.servers[node]) {
            context.moveTo(view.x[node], view.y[node]);
            context.lineTo(view.x[server], view.y[server]);
        }
        this.#line(2, this.accent);
        context.stroke();
    }

    #drawChosenLink(network, view, link) {
        const context = this.context;
        context.beginPath();
        context.moveTo(view.x[network.from[link]], view.y[network.from[link]]);
        context.lineTo(view.x[network.to[link]], view.y[network.to[link]]);
        this.#line(4, this.accent);
        context.stroke();
    }

    static radius(network, node, scale) {
        const size = network.kinds[node] === SERVER ? 9 : 5.5;
        return Math.max(network.kinds[node] === SERVER ? 4 : 1.2, Math.min(size, size * scale * 1.3));
    }

    #drawNodes(network, view, nodes, camera, chosen, hovered) {
        const context = this.context;
        const small = nodes.length > 800;
        for (const kind of [VISOR, CLIENT, SERVER]) {
            context.fillStyle = this.kinds[kind];
            for (const i of nodes) {
                if (network.kinds[i] !== kind) continue;
                const radius = Painter.radius(network, i, camera.scale);
                if (small && kind !== SERVER) {
                    context.fillRect(view.x[i] - radius, view.y[i] - radius, 2 * radius, 2 * radius);
                    continue;
                }
                context.beginPath();
                context.arc(view.x[i], view.y[i], radius, 0, 2 * Math.PI);
                context.fill();
            }
        }
        if (!small) this.#rings(network, view, nodes, camera);
        for (const node of [hovered, chosen]) {
            if (node < 0) continue;
            context.beginPath();
            context.arc(view.x[node], view.y[node], Painter.radius(network, node, camera.scale) + 4, 0, 2 * Math.PI);
            this.#line(2 * this.ratio, this.accent);
            context.stroke();
        }
    }

    // Who offers services.
    #rings(network, view, nodes, camera) {
        const context = this.context;
        context.beginPath();
        for (const i of nodes) {
            if (network.services[i].length === 0) continue;
            const radius = Painter.radius(network, i, camera.scale) + 2.5;
            context.moveTo(view.x[i] + radius, view.y[i]);
            context.arc(view.x[i], view.y[i], radius, 0, 2 * Math.PI);
        }
        this.#line(2 * this.ratio, this.service);
        context.stroke();
    }

    #drawLabels({network, view, nodes, links, chosen, hovered, chosenLink, few, moving, scale}) {
        const context = this.context;
        const occupied = new Occupied();
        const labelledNodes = new Set();
        const labelledLinks = new Set();
        context.font = FONT;
        context.textBaseline = 'middle';
        context.textAlign = 'center';
        const busy = nodes.length > LABELLED_NODES_MAX || (moving && nodes.length > LABELLED_NODES_MAX / 3);
        const wanted = nodes.filter(
            i => !busy || network.kinds[i] === SERVER || i === chosen || i === hovered
        );
        const weight = i => (i === chosen || i === hovered ? 1e9 : 0) +
            (network.kinds[i] === SERVER ? 1e6 : 0) + (network.services[i].length > 0 ? 1e4 : 0) +
            network.degrees[i];
        wanted.sort((a, b) => weight(b) - weight(a) || a - b);
        const radius = i => Painter.radius(network, i, scale) + (network.services[i].length > 0 ? 3 : 0);
        // No label over a node.
        for (const i of busy ? [] : nodes) {
            const r = radius(i);
            const [left, right] = [view.x[i] - r, view.x[i] + r];
            occupied.take({left, right, top: view.y[i] - r, bottom: view.y[i] + r});
        }
        for (const i of wanted) {
            if (labelledNodes.size >= LABELS_MAX) break;
            const text = this.nodeLabel(network, i);
            const away = radius(i) + 2;
            const always = few || i === chosen || network.kinds[i] === SERVER;
            if (this.#label(occupied, text, view.x[i], view.y[i], away, always, this.text))
                labelledNodes.add(i);
        }
        const named = links.length <= LABELLED_LINKS_MAX ? links : links.filter(i => i === chosenLink);
        for (const i of named) {
            const x = (view.x[network.from[i]] + view.x[network.to[i]]) / 2;
            const loop = network.from[i] === network.to[i] ? 26 : 0;
            const y = (view.y[network.from[i]] + view.y[network.to[i]]) / 2 - loop;
            if (this.#label(occupied, network.typeNames[i].slice(0, 32), x, y, -1, few, this.quiet))
                labelledLinks.add(i);
        }
        return {labelledNodes, labelledLinks};
    }

    nodeLabel(network, node) {
        const services = network.serviceNames(node);
        return shortKey(network.keys[node]) + (services ? ` ${services.slice(0, 40)}` : '');
    }

    // Beside the point, that far away, on the first side where there is room; upon it where `away` is
    // negative. `always`: on the first side, if there is room on none.
    #label(occupied, text, x, y, away, always, style) {
        const half = text.length * LETTER / 2 + 2;
        const down = away + LINE / 2;
        const aside = away + half;
        const places = away < 0 ? [[0, 0]] : [[0, down], [0, -down], [aside, 0], [-aside, 0]];
        let place = null;
        for (const [dx, dy] of places) {
            const box = {
                left: x + dx - half, right: x + dx + half,
                top: y + dy - LINE / 2, bottom: y + dy + LINE / 2,
            };
            if (!occupied.free(box)) continue;
            place = {dx, dy, box};
            break;
        }
        if (!place) {
            if (!always) return false;
            place = {dx: places[0][0], dy: places[0][1], box: null};
        }
        if (place.box) occupied.take(place.box);
        const context = this.context;
        context.lineWidth = 3;
        context.strokeStyle = this.back;
        context.lineJoin = 'round';
        context.strokeText(text, x + place.dx, y + place.dy);
        context.fillStyle = style;
        context.fillText(text, x + place.dx, y + place.dy);
        return true;
    }
}
