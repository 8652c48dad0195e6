// The plots over time, and the map with its overlays: drawing on canvases, from plain data.

const INK = "#e8e8ee", FAINT = "#9aa0b0", BLUE = "#56b4e9", ORANGE = "#e69f00", RED = "#d55e00";
const LEFT = 66, RIGHT = 8, TOP = 8, BOTTOM = 20;

function clear(canvas) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.font = "12px sans-serif";
  return context;
}

// Where a time is, and the labels of the axis below.
function drawTimeAxis(context, canvas, points) {
  const first = points[0].time_ms, last = points[points.length - 1].time_ms;
  const span = Math.max(last - first, 1000), width = canvas.width - LEFT - RIGHT;
  context.fillStyle = FAINT;
  context.textAlign = "left";
  context.fillText(new Date(first).toISOString().slice(11, 19), LEFT, canvas.height - 5);
  context.textAlign = "right";
  context.fillText(new Date(last).toISOString().slice(11, 19) + " UTC", canvas.width - RIGHT, canvas.height - 5);
  return (time) => LEFT + ((time - first) / span) * width;
}

// A round number, not below another one: 1, 2 or 5 times a power of ten.
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((digit) => digit * power).find((round) => round >= value);
}

export function drawLatency(canvas, points) {
  const context = clear(canvas);
  if (points.length === 0) return;
  const x = drawTimeAxis(context, canvas, points);
  const top = roundUp(Math.max(1, ...points.map((point) => point.latency_ms)));
  const y = (value) => canvas.height - BOTTOM - (value / top) * (canvas.height - TOP - BOTTOM);
  context.textAlign = "right";
  for (const value of [0, top / 2, top]) {
    context.strokeStyle = "#3a3f4e";
    context.beginPath();
    context.moveTo(LEFT, y(value));
    context.lineTo(canvas.width - RIGHT, y(value));
    context.stroke();
    context.fillText(String(value), LEFT - 6, y(value) + 4);
  }
  // Shape and colour say the status: a dot, a square, a cross.
  for (const point of points) {
    const px = x(point.time_ms), py = y(point.latency_ms);
    if (point.status === "invalid") {
      context.strokeStyle = RED;
      context.beginPath();
      context.moveTo(px - 4, py - 4);
      context.lineTo(px + 4, py + 4);
      context.moveTo(px - 4, py + 4);
      context.lineTo(px + 4, py - 4);
      context.stroke();
    } else if (point.status === "degraded") {
      context.fillStyle = ORANGE;
      context.fillRect(px - 3, py - 3, 6, 6);
    } else {
      context.fillStyle = BLUE;
      context.beginPath();
      context.arc(px, py, 2.5, 0, 7);
      context.fill();
    }
  }
}

export function drawStates(canvas, points, states) {
  const context = clear(canvas);
  if (points.length === 0) return;
  const x = drawTimeAxis(context, canvas, points);
  const rows = [...states].reverse(), step = (canvas.height - BOTTOM - TOP) / rows.length;
  const y = (state) => TOP + (rows.indexOf(state) + 0.5) * step;
  context.textAlign = "right";
  context.fillStyle = FAINT;
  for (const state of rows) context.fillText(state, LEFT - 6, y(state) + 4);
  context.strokeStyle = INK;
  context.lineWidth = 2;
  context.beginPath();
  points.forEach((point, index) => {
    if (index === 0) {
      context.moveTo(x(point.time_ms), y(point.state));
    } else {
      context.lineTo(x(point.time_ms), y(points[index - 1].state));
      context.lineTo(x(point.time_ms), y(point.state));
    }
  });
  context.stroke();
  context.lineWidth = 1;
}

// pictures: images by name. options: overlay, opacity (0..1), circles, fix.
export function drawMap(canvas, map, pictures, options) {
  const context = clear(canvas);
  const larger = Math.max(map.height, map.width) || 1;
  const scale = 512 / larger;
  canvas.width = Math.round((map.width || 1) * scale);
  canvas.height = Math.round((map.height || 1) * scale);
  context.imageSmoothingEnabled = false;
  if (pictures.frame) context.drawImage(pictures.frame, 0, 0, canvas.width, canvas.height);
  const overlay = pictures[options.overlay];
  if (overlay) {
    context.globalAlpha = pictures.frame ? options.opacity : 1;
    context.drawImage(overlay, 0, 0, canvas.width, canvas.height);
    context.globalAlpha = 1;
  }
  const place = (value) => (value + 0.5) * scale;
  // Two lines, dark under light, are seen on any ground.
  const stroke = (color, path, dash = []) => {
    context.setLineDash(dash);
    for (const [style, width] of [["#000", 4], [color, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.beginPath();
      path();
      context.stroke();
    }
    context.setLineDash([]);
  };
  if (options.circles) {
    map.circles.forEach((circle, index) => {
      const cx = place(circle.u), cy = place(circle.v);
      stroke("#fff", () => context.arc(cx, cy, circle.radius * scale, 0, 7));
      context.fillStyle = "#fff";
      context.textAlign = "center";
      context.font = "bold 14px sans-serif";
      context.lineWidth = 3;
      context.strokeStyle = "#000";
      context.strokeText(String(index + 1), cx, cy + 5);
      context.fillText(String(index + 1), cx, cy + 5);
    });
  }
  if (options.fix && map.fix) {
    const cx = place(map.fix.u), cy = place(map.fix.v);
    stroke(ORANGE, () => {
      context.moveTo(cx - 12, cy);
      context.lineTo(cx + 12, cy);
      context.moveTo(cx, cy - 12);
      context.lineTo(cx, cy + 12);
    });
    stroke(ORANGE, () => context.arc(cx, cy, map.fix.radius * scale, 0, 7), [6, 6]);
    if (map.fix.sun) {
      const sun = map.fix.sun, reach = map.fix.radius * scale;
      stroke(ORANGE, () => {
        context.moveTo(cx + sun.x * reach, cy + sun.y * reach);
        context.lineTo(cx + sun.x * (reach + 14), cy + sun.y * (reach + 14));
      });
      for (const radius of [7, 1]) stroke(ORANGE, () => context.arc(cx + sun.x * (reach + 21), cy + sun.y * (reach + 21), radius, 0, 7));
    }
  }
}
