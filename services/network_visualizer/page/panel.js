// Everything on the page that is text: the sources with their ages, the legend, what was chosen, and
// the list of what is drawn. Text of the network goes in as textContent alone.

import {KIND_NAMES, shortKey, TYPES} from './network.js';

const ROWS_MAX = 300;
const TITLES = {services: 'Services', dmsg: 'dmsg', transports: 'Transports'};
const SOURCES = {cxo: 'feed', http: 'HTTP', process: 'same process', none: 'nothing yet'};

function element(name, text, className) {
    const made = document.createElement(name);
    if (text) made.textContent = text;
    if (className) made.className = className;
    return made;
}

export function ageText(seconds) {
    if (seconds < 60) return `${Math.round(seconds)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds % 3600 / 60)} min`;
}

function sourceLine(name, part, lostFor) {
    const title = TITLES[name];
    const count = part.items.toLocaleString('en');
    const age = part.age_seconds + lostFor;
    if (part.failure) {
        const copy = part.source === 'none' ? 'no copy' : `copy of ${count}, ${ageText(age)} old`;
        return element('li', `${title}: lost, ${copy} (${part.failure})`, 'lost');
    }
    const lostFeed = part.feed?.state === 'lost';
    const feed = lostFeed ? `; feed lost ${ageText(part.feed.seconds + lostFor)} ago` : '';
    const fresh = `${title}: ${count}, ${SOURCES[part.source] ?? part.source}, ${ageText(age)} old`;
    return element('li', fresh + feed, lostFor > 0 || lostFeed ? 'lost' : '');
}

// `news` is read out when something is lost or found again, and not at every second of age.
export function showSources(list, news, {parts, lostSince}) {
    const lostFor = lostSince === null ? 0 : (performance.now() - lostSince) / 1000;
    const lines = Object.keys(TITLES).filter(name => parts[name]).map(
        name => {
            const line = sourceLine(name, parts[name], lostFor);
            line.dataset.part = name;
            return line;
        }
    );
    if (lostFor > 0)
        lines.push(element('li', `The visualizer itself has not answered for ${ageText(lostFor)}`, 'lost'));
    list.replaceChildren(...lines);
    const lost = Object.keys(TITLES).filter(
        name => parts[name] && (parts[name].failure || parts[name].feed?.state === 'lost')
    ).map(name => TITLES[name]);
    if (lostFor > 0) lost.push('the visualizer');
    const text = lost.length > 0 ? `Lost: ${lost.join(', ')}` : '';
    if (news.textContent !== text) news.textContent = text;
}

export function showLegend(list) {
    const entries = [
        ['server', 'server', ''], ['client', 'client', ''], ['visor', 'no server known', ''],
        ['service', 'offers services', ''], ['session', 'session', 'line'],
        ...TYPES.map(type => [type, type === 'other' ? 'other transports' : type, 'line']),
    ];
    list.replaceChildren(...entries.map(([className, text, mark]) => {
        const line = element('li', '', className);
        line.append(element('i', '', mark), text);
        return line;
    }));
}

function describeNode(network, node) {
    const lines = [];
    const services = network.services[node];
    for (const each of services)
        lines.push(`Service ${each.type}, port ${each.port}${each.version ? `, version ${each.version}` : ''}`);
    if (network.countries[node]) lines.push(`Country ${network.countries[node]}`);
    lines.push(`${network.degrees[node]} transports`);
    if (network.servers[node].length > 0) {
        const names = network.servers[node].map(server => shortKey(network.keys[server]));
        lines.push(`With ${names.join(', ')}`);
    }
    return lines;
}

// The chosen node or transport; `close` is called by the button.
export function showDetails(panel, network, {node, link}, close) {
    panel.hidden = node < 0 && link < 0;
    if (panel.hidden) return;
    const button = element('button', '\u00d7');
    button.type = 'button';
    button.setAttribute('aria-label', 'Close');
    button.addEventListener('click', close);
    if (node >= 0) {
        panel.replaceChildren(
            button, element('h2', `A ${KIND_NAMES[network.kinds[node]]}`),
            element('p', network.keys[node], 'key'),
            ...describeNode(network, node).map(line => element('p', line))
        );
        return;
    }
    panel.replaceChildren(
        button, element('h2', `A transport of type ${network.typeNames[link]}`),
        element('p', network.ids[link], 'key'), element('p', 'between'),
        element('p', network.keys[network.from[link]], 'key'),
        element('p', network.keys[network.to[link]], 'key'),
        element('p', network.labels[link] ? `Label ${network.labels[link]}` : '')
    );
}

function row(kind, name, about, data) {
    const made = document.createElement('tr');
    made.append(element('td', kind), element('td', name), element('td', about));
    Object.assign(made.dataset, data);
    return made;
}

function nodeRow(network, node, drawn) {
    const services = network.serviceNames(node);
    const about = `${services ? `${services}; ` : ''}${network.degrees[node]} transports`;
    return row(KIND_NAMES[network.kinds[node]], network.keys[node], about, {
        kind: KIND_NAMES[network.kinds[node]],
        key: network.keys[node],
        labelled: drawn.labelledNodes.has(node),
        x: Math.round(drawn.view.x[node]),
        y: Math.round(drawn.view.y[node]),
    });
}

function linkRow(network, link, drawn) {
    const a = network.from[link];
    const b = network.to[link];
    const about = `${network.typeNames[link]}, ${shortKey(network.keys[a])} to ${shortKey(network.keys[b])}`;
    return row('transport', network.ids[link], about, {
        kind: 'transport',
        key: network.ids[link],
        labelled: drawn.labelledLinks.has(link),
        x: Math.round((drawn.view.x[a] + drawn.view.x[b]) / 2),
        y: Math.round((drawn.view.y[a] + drawn.view.y[b]) / 2),
    });
}

// What the painter has drawn, the first of them.
export function showList(caption, body, network, drawn) {
    const total = drawn.nodes.length + drawn.links.length;
    const nodes = drawn.nodes.slice(0, ROWS_MAX);
    const links = drawn.links.slice(0, Math.max(ROWS_MAX - nodes.length, ROWS_MAX / 4));
    const shown = nodes.length + links.length;
    caption.textContent = `In the picture: ${drawn.nodes.length.toLocaleString('en')} of ` +
        `${network.size.toLocaleString('en')} nodes, ${drawn.links.length.toLocaleString('en')} of ` +
        `${network.links.toLocaleString('en')} transports` +
        (shown < total ? `; the first ${shown} of them` : '');
    body.replaceChildren(
        ...nodes.map(node => nodeRow(network, node, drawn)),
        ...links.map(link => linkRow(network, link, drawn))
    );
}
