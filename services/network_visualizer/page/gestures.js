// Moves and zooms the camera by mouse, fingers and keys, and says what was pointed at.

const CLICK_SLOP = 4;
const KEY_STEP = 60;

export function listenTo(canvas, camera, {changed, moved, clicked, hovered, showAll}) {
    const pointers = new Map();
    let travelled = 0;

    const at = event => {
        const box = canvas.getBoundingClientRect();
        return {x: event.clientX - box.left, y: event.clientY - box.top};
    };

    canvas.addEventListener('pointerdown', event => {
        canvas.setPointerCapture(event.pointerId);
        pointers.set(event.pointerId, at(event));
        travelled = 0;
        canvas.classList.add('moving');
    });

    canvas.addEventListener('pointermove', event => {
        const now = at(event);
        const before = pointers.get(event.pointerId);
        if (!before) {
            hovered(now.x, now.y);
            return;
        }
        const others = [...pointers].filter(([id]) => id !== event.pointerId);
        pointers.set(event.pointerId, now);
        travelled += Math.hypot(now.x - before.x, now.y - before.y);
        if (others.length > 0) {
            // Two fingers: what is between them stays there.
            const other = others[0][1];
            const old = Math.hypot(before.x - other.x, before.y - other.y);
            const distance = Math.hypot(now.x - other.x, now.y - other.y);
            if (old > 0) camera.zoom(distance / old, (now.x + other.x) / 2, (now.y + other.y) / 2);
        } else {
            camera.move(now.x - before.x, now.y - before.y);
        }
        moved();
    });

    const release = event => {
        const known = pointers.delete(event.pointerId);
        if (pointers.size === 0) canvas.classList.remove('moving');
        if (known && event.type === 'pointerup' && travelled <= CLICK_SLOP) {
            const {x, y} = at(event);
            clicked(x, y);
        }
        changed();
    };
    canvas.addEventListener('pointerup', release);
    canvas.addEventListener('pointercancel', release);

    canvas.addEventListener('wheel', event => {
        event.preventDefault();
        const {x, y} = at(event);
        const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
        camera.zoom(Math.exp(-event.deltaY * lines * 0.0015), x, y);
        moved();
    }, {passive: false});

    canvas.addEventListener('keydown', event => {
        const steps = {ArrowLeft: [KEY_STEP, 0], ArrowRight: [-KEY_STEP, 0], ArrowUp: [0, KEY_STEP],
            ArrowDown: [0, -KEY_STEP]};
        if (steps[event.key]) camera.move(...steps[event.key]);
        else if (event.key === '+' || event.key === '=') zoomBy(1.3);
        else if (event.key === '-') zoomBy(1 / 1.3);
        else if (event.key === '0') showAll();
        else return;
        event.preventDefault();
        moved();
    });

    const zoomBy = factor => {
        camera.zoom(factor, camera.width / 2, camera.height / 2);
        moved();
    };
    return {zoomBy};
}
