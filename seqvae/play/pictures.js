// --- pictures: the pixels of a frame on one canvas, marks of the objects on another one above it ---------

const HALO = "rgba(0, 0, 0, 0.65)" // around lines and discs, so that they show on any picture
const FONT = 'bold 13px system-ui, "DejaVu Sans", sans-serif'
const size = { now: [1, 1], imagined: [1, 1] } // width and height of the marks, in pixels of the page

const colour = (slot) => COLOURS[(slot - BACKGROUND) % COLOURS.length]
const at = (array, ...index) => array[index.reduce((sum, i, axis) => sum * array.shape[axis] + i, 0)]
const point = (array, ...index) => [at(array, ...index, 0), at(array, ...index, 1)]
const position = (t, j) => point(scene.positions, t, j)
const present = (t, j) => Number.isFinite(position(t, j)[0])
const range = (length) => Array.from({ length }, (_, i) => i)

function paint(panel, frames, t) {
  const canvas = $(`${panel}-pixels`), { width, height } = canvas, context = canvas.getContext("2d")
  if (!frames) return context.clearRect(0, 0, width, height)
  const image = context.createImageData(width, height), channels = frames.shape[3]
  const start = t * height * width * channels, colours = channels == 1 ? [0, 0, 0] : [0, 1, 2]
  for (let i = 0; i < height * width; i++) {
    for (const c of colours.keys()) image.data[4 * i + c] = frames[start + i * channels + colours[c]]
    image.data[4 * i + 3] = 255
  }
  context.putImageData(image, 0, 0)
}

// an empty context in pixels of the page, and the function from coordinates to these pixels
function marks(panel) {
  const canvas = $(`${panel}-marks`), context = canvas.getContext("2d"), [width, height] = size[panel]
  context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0)
  context.clearRect(0, 0, width, height)
  return [context, ([x, y]) => [(x + 1) / 2 * width, (y + 1) / 2 * height]]
}

function fit(entries) {
  for (const { target, contentRect } of entries) {
    size[target.id.replace("-marks", "")] = [contentRect.width, contentRect.height]
    target.width = contentRect.width * devicePixelRatio
    target.height = contentRect.height * devicePixelRatio
  }
  if (!scene) return
  drawHeld()
  drawImagined()
}

function line(context, points, style, width) {
  context.beginPath()
  let before = false // a gap where a point is not a number
  for (const [x, y] of points) {
    if (before) context.lineTo(x, y)
    else if (Number.isFinite(x)) context.moveTo(x, y)
    before = Number.isFinite(x)
  }
  Object.assign(context, { strokeStyle: style, lineWidth: width, lineJoin: "round" })
  context.stroke()
}

function disc(context, [x, y], diameter, fill, edge = null, width = 0) {
  context.beginPath()
  context.arc(x, y, diameter / 2, 0, 2 * Math.PI)
  Object.assign(context, { fillStyle: fill, strokeStyle: edge, lineWidth: width })
  context.fill()
  if (width) context.stroke()
}

function arrow(context, from, to) {
  const [dx, dy] = [to[0] - from[0], to[1] - from[1]]
  if (Math.hypot(dx, dy) < 6) return
  line(context, [from, to], "white", 3)
  context.save()
  context.translate(...to)
  context.rotate(Math.atan2(dy, dx))
  context.beginPath()
  for (const [x, y] of [[7, 0], [-6, -7], [-6, 7]]) context.lineTo(x, y)
  context.closePath()
  Object.assign(context, { fillStyle: "white", strokeStyle: HALO, lineWidth: 1 })
  context.fill()
  context.stroke()
  context.restore()
}

function drawPaths(context, to) {
  const times = range(scene.length)
  context.globalAlpha = 0.45
  for (const s of range(scene.ghosts.shape[0]))
    scene.slots.forEach((slot, j) => line(context, times.map((t) => to(point(scene.ghosts, s, t, j))), colour(slot), 1))
  context.globalAlpha = 1
  const paths = scene.slots.map((_, j) => times.map((t) => to(position(t, j))))
  for (const path of paths) line(context, path, HALO, 4)
  paths.forEach((path, j) => line(context, path, colour(scene.slots[j]), 2))
}

// where an object of the scene is drawn: under the pointer while it is dragged
function placed(j) {
  const dragged = held && held.moved && mode == "move" && held.slot == scene.slots[j]
  return dragged ? held.to : position(0, j)
}

// the marks of the scene: paths, arrows, and discs with the numbers of the slots
function drawHeld() {
  const [context, to] = marks("now"), there = range(scene.slots.length).filter((j) => present(0, j))
  drawPaths(context, to)
  for (const j of scene.velocities.shape[0] ? there : []) {
    const from = placed(j), v = point(scene.velocities, j)
    const pulled = held && held.moved && mode == "push" && held.slot == scene.slots[j]
    arrow(context, to(from), to(pulled ? held.to : [from[0] + ARROW * v[0], from[1] + ARROW * v[1]]))
  }
  Object.assign(context, { font: FONT, textAlign: "center", textBaseline: "middle" })
  for (const j of there) {
    const slot = scene.slots[j], spot = to(placed(j)), chosen = picked.includes(slot) || held?.slot == slot
    if (chosen) disc(context, spot, 38, HALO)
    disc(context, spot, chosen ? 27 : 21, colour(slot), chosen ? "white" : HALO, chosen ? 4 : 2)
    context.fillStyle = "black"
    context.fillText(slot, ...spot)
  }
}

// the marks of the imagined frame: paths, and the places at its time
function drawImagined() {
  const [context, to] = marks("imagined")
  drawPaths(context, to)
  context.globalAlpha = 0.6
  for (const s of range(scene.ghosts.shape[0]))
    scene.slots.forEach((slot, j) => disc(context, to(point(scene.ghosts, s, shown, j)), 5, colour(slot)))
  context.globalAlpha = 1
  scene.slots.forEach((slot, j) => disc(context, to(position(shown, j)), 11, colour(slot), HALO, 2))
}
