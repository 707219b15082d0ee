// Puts the page together: data in, layout, camera, one picture for each frame that needs one.

import {Camera} from './camera.js';
import {Copies} from './copies.js';
import {listenTo} from './gestures.js';
import {Layout} from './layout.js';
import {makeNetwork, SERVER} from './network.js';
import {Painter} from './painter.js';
import {showDetails, showLegend, showList, showSources} from './panel.js';
import {Picker} from './picker.js';

// How long the picture stands still before the list and all labels follow.
const REST_MS = 180;
const FOUND_SCALE = 1.2;
// While the picture moves, one of so many transports is drawn: more are left out while frames take
// longer than the first figure, fewer while they are below the second.
const THIN_MAX = 8;
const SLOW_FRAME_MS = 40;
const FAST_FRAME_MS = 22;

const byId = id => document.getElementById(id);
const canvas = byId('picture');
const camera = new Camera();
const painter = new Painter(canvas);
const layout = new Layout();
const picker = new Picker();
const worker = new Worker('/app/layout_worker.js', {type: 'module'});

let network = makeNetwork({});
let x = layout.x;
let y = layout.y;
let chosen = -1;
let chosenLink = -1;
let hovered = -1;
let jobNumber = 0;
let requested = false;
let lastMove = -Infinity;
let restTimer = 0;
// Until somebody has moved it, the picture shows all there is.
let touched = false;
let pictures = 0;
let thin = 1;
let lastFrame = -Infinity;

function pace(now, moving) {
    const took = now - lastFrame;
    lastFrame = now;
    if (!moving || took > REST_MS * 3) return;
    if (took > SLOW_FRAME_MS) thin = Math.min(THIN_MAX, thin * 2);
    else if (took < FAST_FRAME_MS) thin = Math.max(1, thin / 2);
}

function frame(now) {
    requested = false;
    painter.resize(camera);
    // What is drawn stays what the list shows, though the network may be another one by then.
    const shown = network;
    const moving = performance.now() - lastMove < REST_MS;
    pace(now, moving);
    const drawn = painter.draw({
        network: shown, x, y, camera, chosen, hovered, chosenLink, moving, thin: moving ? thin : 1,
    });
    if (shown.size > 0 && ++pictures === 1) performance.mark('first-picture');
    clearTimeout(restTimer);
    restTimer = setTimeout(moving ? draw : () => list(shown, drawn), REST_MS);
}

function list(shown, drawn) {
    showList(byId('list-caption'), byId('list-rows'), shown, drawn);
}

function draw() {
    if (requested) return;
    requested = true;
    requestAnimationFrame(frame);
}

function moved() {
    touched = true;
    lastMove = performance.now();
    draw();
}

function showAll() {
    painter.resize(camera);
    camera.fit(x, y);
    draw();
}

function choose(node, link) {
    chosen = node;
    chosenLink = link;
    showDetails(byId('details'), network, {node, link}, () => choose(-1, -1));
    draw();
}

// The same things as before, by their keys: numbers differ from network to network.
function takeNetwork(next) {
    const key = chosen >= 0 ? network.keys[chosen] : '';
    const id = chosenLink >= 0 ? network.ids[chosenLink] : '';
    network = next;
    hovered = -1;
    choose(network.index.get(key) ?? -1, id ? network.ids.indexOf(id) : -1);
}

function refineLayout() {
    ++jobNumber;
    document.body.dataset.layout = network.links === 0 ? 'done' : 'begun';
    if (network.links === 0) return;
    worker.postMessage({
        number: jobNumber, x: x.slice(), y: y.slice(), placeX: layout.x, placeY: layout.y,
        fixed: Uint8Array.from(network.kinds, kind => kind === SERVER ? 1 : 0),
        from: network.from, to: network.to, degrees: network.degrees, spacing: layout.spacing,
    });
}

worker.onmessage = ({data}) => {
    if (data.number !== jobNumber) return;
    x = data.x;
    y = data.y;
    picker.fill(x, y);
    if (data.done) document.body.dataset.layout = 'done';
    if (data.done && !touched) camera.fit(x, y);
    draw();
};

function dataChanged(data) {
    const shown = new Map(network.keys.map((key, i) => [key, i]));
    const shownX = x;
    const shownY = y;
    const spacing = layout.spacing;
    takeNetwork(makeNetwork(data));
    layout.place(network);
    x = layout.x.slice();
    y = layout.y.slice();
    // What is on the screen stays there, unless all is laid out anew.
    for (let i = 0; spacing === layout.spacing && i < network.size; ++i) {
        const before = shown.get(network.keys[i]);
        if (before === undefined || Math.hypot(shownX[before] - x[i], shownY[before] - y[i]) > 4 * spacing) continue;
        x[i] = shownX[before];
        y[i] = shownY[before];
    }
    picker.fill(x, y);
    byId('hint').hidden = network.size > 0;
    byId('hint').textContent = 'There is nothing to draw yet';
    if (touched) draw();
    else showAll();
    refineLayout();
}

function nodeAt(screenX, screenY) {
    return picker.at(camera.planeX(screenX), camera.planeY(screenY), 12 / camera.scale);
}

// A whole key or id, or the only beginning or part of one.
function find(text) {
    const query = text.trim().toLowerCase();
    if (!query) return {};
    const exact = network.index.get(query);
    if (exact !== undefined) return {node: exact, matches: 1};
    const nodes = network.keys.flatMap((key, i) => key.includes(query) ? [i] : []);
    if (nodes.length > 0) {
        const first = nodes.find(i => network.keys[i].startsWith(query)) ?? nodes[0];
        return {node: first, matches: nodes.length};
    }
    const link = network.ids.findIndex(id => id.startsWith(query));
    return link < 0 ? {matches: 0} : {link, matches: 1};
}

function search(event) {
    event.preventDefault();
    const {node = -1, link = -1, matches = 0} = find(byId('query').value);
    const found = byId('found');
    choose(node, link);
    if (matches === 0) {
        found.textContent = 'Not found';
        return;
    }
    touched = true;
    const [a, b] = node >= 0 ? [node, node] : [network.from[link], network.to[link]];
    camera.centre((x[a] + x[b]) / 2, (y[a] + y[b]) / 2, Math.max(camera.scale, FOUND_SCALE));
    found.textContent = matches === 1 ? 'Found' : `The first of ${matches}`;
    draw();
}

const {zoomBy} = listenTo(canvas, camera, {
    changed: draw,
    moved,
    showAll,
    clicked: (screenX, screenY) => choose(nodeAt(screenX, screenY), -1),
    hovered: (screenX, screenY) => {
        const node = nodeAt(screenX, screenY);
        if (node === hovered) return;
        hovered = node;
        draw();
    },
});

byId('closer').addEventListener('click', () => zoomBy(1.5));
byId('farther').addEventListener('click', () => zoomBy(1 / 1.5));
byId('all').addEventListener('click', showAll);
byId('search').addEventListener('submit', search);
byId('show-list').addEventListener('click', event => {
    const apart = byId('list').classList.toggle('apart');
    event.currentTarget.setAttribute('aria-expanded', String(!apart));
});
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    painter.readColours();
    draw();
});
new ResizeObserver(() => {
    if (touched) draw();
    else showAll();
}).observe(canvas);

showLegend(byId('legend'));
const copies = new Copies({
    changed: dataChanged,
    told: state => showSources(byId('sources'), byId('lost-news'), state),
});
copies.run();
