// Refines a layout step by step and sends the positions back now and then.

import {refine} from './layout.js';

const STEPS = 60;
const STEPS_AT_ONCE = 6;

let current = 0;

function work(job, step) {
    // A newer one has come.
    if (job.number !== current) return;
    for (let i = 0; i < STEPS_AT_ONCE; ++i) refine(job);
    const done = step + STEPS_AT_ONCE >= STEPS;
    const x = job.x.slice();
    const y = job.y.slice();
    postMessage({number: job.number, x, y, done}, [x.buffer, y.buffer]);
    if (!done) setTimeout(work, 0, job, step + STEPS_AT_ONCE);
}

onmessage = ({data}) => {
    current = data.number;
    work(data, 0);
};
