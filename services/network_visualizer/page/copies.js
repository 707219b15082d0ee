// Keeps the three parts current: asks for their versions, and for those that have changed.

const PAUSE_MS = 2000;
const HEALTH_MS = 5000;
const PART_MS = 30000;
const PATHS = {
    services: '/api/services',
    dmsg: '/api/dmsg/servers/clients',
    transports: '/api/transports',
};

export class Copies {
    // `changed` is called with all parts when one of them differs, `told` with how current they are:
    // {parts, lostSince}, lostSince being when this service stopped answering, or null.
    constructor({changed, told}) {
        this.changed = changed;
        this.told = told;
        this.data = {services: null, dmsg: null, transports: null};
        this.tags = {};
        this.parts = {};
        this.lostSince = null;
    }

    async run() {
        // Nobody has to say first that there is something.
        await this.#fetchParts(Object.keys(PATHS));
        while (true) {
            // Nobody looks.
            if (!document.hidden) await this.#round();
            await new Promise(resolve => setTimeout(resolve, PAUSE_MS));
        }
    }

    async #round() {
        try {
            const answer = await fetch('/api/health', {
                cache: 'no-store', signal: AbortSignal.timeout(HEALTH_MS),
            });
            if (!answer.ok) throw new Error(`status ${answer.status}`);
            this.parts = (await answer.json()).parts;
            this.lostSince = null;
        } catch {
            this.lostSince ??= performance.now();
        }
        this.told({parts: this.parts, lostSince: this.lostSince});
        const stale = Object.keys(PATHS).filter(name => {
            const version = this.parts[name]?.version;
            return version && this.tags[name] !== version;
        });
        if (this.lostSince === null && stale.length > 0) await this.#fetchParts(stale);
    }

    async #fetchParts(names) {
        const news = await Promise.all(names.map(name => this.#fetchPart(name)));
        if (news.some(Boolean)) this.changed(this.data);
    }

    async #fetchPart(name) {
        try {
            const answer = await fetch(PATHS[name], {
                cache: 'no-cache', signal: AbortSignal.timeout(PART_MS),
            });
            if (!answer.ok) return false;
            const data = await answer.json();
            this.data[name] = data;
            this.tags[name] = (answer.headers.get('ETag') ?? '').replace(/^W\//, '').replaceAll('"', '');
            return true;
        } catch {
            return false;
        }
    }
}
