// What part of the plane is seen: the middle of the picture and how large it is shown.

const SCALE_MIN = 0.01;
const SCALE_MAX = 8;

export class Camera {
    constructor() {
        this.x = 0;
        this.y = 0;
        this.scale = 1;
        this.width = 1;
        this.height = 1;
    }

    screenX(x) { return (x - this.x) * this.scale + this.width / 2; }
    screenY(y) { return (y - this.y) * this.scale + this.height / 2; }
    planeX(x) { return (x - this.width / 2) / this.scale + this.x; }
    planeY(y) { return (y - this.height / 2) / this.scale + this.y; }

    move(dx, dy) {
        this.x -= dx / this.scale;
        this.y -= dy / this.scale;
    }

    // What is at this point of the screen stays there.
    zoom(factor, screenX, screenY) {
        const x = this.planeX(screenX);
        const y = this.planeY(screenY);
        this.scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, this.scale * factor));
        this.x = x - (screenX - this.width / 2) / this.scale;
        this.y = y - (screenY - this.height / 2) / this.scale;
    }

    centre(x, y, scale) {
        this.x = x;
        this.y = y;
        this.scale = Math.min(SCALE_MAX, Math.max(SCALE_MIN, scale));
    }

    // All of these points, with a margin for their labels.
    fit(xs, ys) {
        if (xs.length === 0) return;
        let left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
        for (let i = 0; i < xs.length; ++i) {
            left = Math.min(left, xs[i]);
            right = Math.max(right, xs[i]);
            top = Math.min(top, ys[i]);
            bottom = Math.max(bottom, ys[i]);
        }
        const width = Math.max(1, this.width - 140);
        const height = Math.max(1, this.height - 90);
        const scale = Math.min(width / Math.max(1, right - left), height / Math.max(1, bottom - top));
        this.centre((left + right) / 2, (top + bottom) / 2, Math.min(1.4, scale));
    }
}
