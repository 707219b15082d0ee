// What the three parts come to: nodes, who is with which server, and the transports between nodes.
// Keys, names and types are other people's text: they are kept as strings and never become markup.

export const SERVER = 0;
export const CLIENT = 1;
// Known from a service or a transport alone: no server has it.
export const VISOR = 2;
export const KIND_NAMES = ['server', 'client', 'visor'];

// Types with a colour of their own; the last one stands for all others.
export const TYPES = ['stcpr', 'sudph', 'dmsg', 'stcp', 'other'];

const KEY = /^0[23][0-9a-f]{64}$/;

export function shortKey(key) {
    return key.slice(0, 8) + '\u2026' + key.slice(-4);
}

export class Network {
    constructor() {
        this.keys = [];
        this.kinds = [];
        // For each node the indices of its servers, and the services that it offers.
        this.servers = [];
        this.services = [];
        this.countries = [];
        this.index = new Map();
        // Transports: the indices of both ends, the number of the type's colour, ids and type names.
        this.from = new Uint32Array(0);
        this.to = new Uint32Array(0);
        this.colours = new Uint8Array(0);
        this.ids = [];
        this.typeNames = [];
        this.labels = [];
        this.degrees = new Uint32Array(0);
        // Sessions: a client and a server each.
        this.sessionClient = new Uint32Array(0);
        this.sessionServer = new Uint32Array(0);
    }

    get size() { return this.keys.length; }
    get links() { return this.ids.length; }

    add(key, kind) {
        const known = this.index.get(key);
        if (known !== undefined) return known;
        const at = this.keys.length;
        this.index.set(key, at);
        this.keys.push(key);
        this.kinds.push(kind);
        this.servers.push([]);
        this.services.push([]);
        this.countries.push('');
        return at;
    }

    // One of them, always the same: where the node is put.
    home(node) {
        const servers = this.servers[node];
        if (servers.length === 0) return -1;
        return servers[parseInt(this.keys[node].slice(-6), 16) % servers.length];
    }

    serviceNames(node) {
        return this.services[node].map(each => each.type).join(', ');
    }
}

function addClients(network, clients) {
    const list = Object.entries(clients).filter(([server]) => KEY.test(server));
    for (const [server] of list) network.add(server, SERVER);
    for (const [server, entries] of list) {
        const at = network.index.get(server);
        for (const entry of entries) {
            const key = String(entry.static);
            if (!KEY.test(key)) continue;
            const client = network.add(key, CLIENT);
            // A server that is a client of another is drawn as what it is.
            if (client !== at) network.servers[client].push(at);
        }
    }
}

function addServices(network, services) {
    for (const [key, visor] of Object.entries(services)) {
        if (!KEY.test(key)) continue;
        const at = network.add(key, VISOR);
        network.services[at] = visor.services.map(each => ({
            type: String(each.type), port: Number(each.port), version: String(each.version),
        }));
        network.countries[at] = String(visor.country);
    }
}

function addTransports(network, transports) {
    const good = transports.filter(each => each.edges.every(edge => KEY.test(edge)));
    network.from = new Uint32Array(good.length);
    network.to = new Uint32Array(good.length);
    network.colours = new Uint8Array(good.length);
    good.forEach((each, i) => {
        network.from[i] = network.add(each.edges[0], VISOR);
        network.to[i] = network.add(each.edges[1], VISOR);
        const type = TYPES.indexOf(each.type);
        network.colours[i] = type < 0 ? TYPES.length - 1 : type;
        network.ids.push(String(each.t_id));
        network.typeNames.push(String(each.type));
        network.labels.push(String(each.label));
    });
}

function countSessions(network) {
    const count = network.servers.reduce((sum, each) => sum + each.length, 0);
    network.sessionClient = new Uint32Array(count);
    network.sessionServer = new Uint32Array(count);
    let at = 0;
    network.servers.forEach((servers, client) => {
        for (const server of servers) {
            network.sessionClient[at] = client;
            network.sessionServer[at++] = server;
        }
    });
}

// Each part as its API answers it; null where there is none yet.
export function makeNetwork({services, dmsg, transports}) {
    const network = new Network();
    addClients(network, dmsg ?? {});
    addServices(network, services ?? {});
    addTransports(network, transports ?? []);
    countSessions(network);
    network.degrees = new Uint32Array(network.size);
    for (let i = 0; i < network.links; ++i) {
        ++network.degrees[network.from[i]];
        ++network.degrees[network.to[i]];
    }
    return network;
}
