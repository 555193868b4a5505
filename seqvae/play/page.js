// Script of the page of `seqvae play`. It runs once per page, as a function of the page's Bokeh models:
// command, observed, future (sources), now, imagined, truth (figures). docs/play.md describes the page.

const $ = (id) => document.getElementById(id)
const root = $("play")
const COLOURS = JSON.parse(root.dataset.colours)
const BACKGROUND = Number(root.dataset.background)
const SEQUENCES = Number(root.dataset.sequences), FRAMES = Number(root.dataset.frames)
const IMAGINES = root.dataset.imagines == "1"
const ARROW = 5 // frames of motion that an arrow shows
const REACH = 24 // pixels from an object within which it is grabbed
const REPLACED = ["move", "push", "look", "open"] // of commands that wait, only the newest counts
const PATIENCE = 5000 // milliseconds after which an answer is given up

const colour = (slot) => COLOURS[(slot - BACKGROUND) % COLOURS.length]
const source = (panel, kind) => now.document.get_model_by_name(`${panel}_${kind}`)

// --- state -----------------------------------------------------------------------------------------------

let scene = null // the newest answer: about, and arrays with their shapes
let place = null // index and frame of the sequence
let shown = 0 // frame of the future
let playing = IMAGINES && !matchMedia("(prefers-reduced-motion: reduce)").matches
let mode = "move"
let picked = [] // slots, the newest last, at most two
let painted = null // the picture of the truth panel
let held = null // an object that is being dragged: slot, place where it was grabbed, pointer

// --- the server ------------------------------------------------------------------------------------------

let serial = 0, waiting = null
const queue = []

function send(kind, values = {}) {
  const last = queue.at(-1)
  if (last && REPLACED.includes(kind) && last.kind == kind && last.slot == values.slot) queue.pop()
  queue.push({ kind, ...values })
  pump()
}

function pump() {
  if (!queue.length || (waiting && performance.now() - waiting.at < PATIENCE)) return
  waiting = { serial: ++serial, at: performance.now() }
  command.data = { command: [JSON.stringify({ serial, ...queue.shift() })] }
}

function receive() {
  const column = (name) => future.data[name][0]
  const about = JSON.parse(column("about"))
  scene = { ...about, frames: column("frames"), positions: column("positions"), ghosts: column("ghosts"),
            velocities: column("velocities") }
  scene.length = scene.frames.shape[0]
  picked = picked.filter((slot) => scene.slots.includes(slot))
  if (waiting && about.serial == waiting.serial) {
    const start = waiting.at, detail = waiting.serial
    waiting = null
    performance.measure("play: answered", { start, end: performance.now(), detail })
    requestAnimationFrame(() => setTimeout(() => { // after the frame with the new pictures is painted
      performance.measure("play: shown", { start, end: performance.now(), detail })
      if (performance.getEntriesByType("measure").length > 2000) performance.clearMeasures()
    }))
  }
  shown = Math.min(shown, scene.length - 1)
  draw()
  pump()
}

function lookAround() {
  place = JSON.parse(observed.data.place[0])
  picked = []
}

// --- pictures --------------------------------------------------------------------------------------------

function paint(panel, frames, t) {
  const target = source(panel, "picture"), pixels = target.data.image[0]
  if (frames == null) pixels.fill(0xff000000)
  else {
    const [, height, width, channels] = frames.shape, start = t * height * width * channels
    for (let i = 0; i < height * width; i++) {
      const at = start + i * channels, step = channels == 1 ? 0 : 1
      pixels[i] = (0xff000000 | (frames[at + 2 * step] << 16) | (frames[at + step] << 8) | frames[at]) >>> 0
    }
  }
  target.change.emit()
}

const count = () => scene.slots.length
const at = (array, ...index) => array[index.reduce((sum, i, axis) => sum * array.shape[axis] + i, 0)]
const position = (t, j) => [at(scene.positions, t, j, 0), at(scene.positions, t, j, 1)]
const present = (t, j) => Number.isFinite(position(t, j)[0])

// where an object of the scene is drawn: under the pointer while it is dragged
function placed(j) {
  const dragged = held && held.moved && mode == "move" && held.slot == scene.slots[j]
  return dragged ? held.to : position(0, j)
}

function set(panel, kind, rows, columns) {
  const data = Object.fromEntries(columns.map((name) => [name, rows.map((row) => row[name])]))
  source(panel, kind).setv({ data }, { sync: false }) // of no interest to the server
}

function drawObjects(panel, t) {
  const rows = []
  scene.slots.forEach((slot, j) => {
    if (!present(t, j)) return
    const [x, y] = panel == "now" ? placed(j) : position(t, j)
    const chosen = panel == "now" && (picked.includes(slot) || (held && held.slot == slot))
    rows.push({ x, y, colour: colour(slot), label: `${slot}`, size: panel == "imagined" ? 11 : chosen ? 27 : 21,
                edge: chosen ? "white" : "rgba(0, 0, 0, 0.65)", width: chosen ? 4 : 2, halo: chosen ? 38 : 0 })
  })
  set(panel, "objects", rows, ["x", "y", "colour", "label", "size", "edge", "width", "halo"])
}

function drawArrows() {
  const rows = []
  const { width, height } = $("stage").getBoundingClientRect()
  const add = ([x, y], [tip_x, tip_y]) => {
    const dx = (tip_x - x) * width, dy = (tip_y - y) * height
    if (Math.hypot(dx, dy) > 12) // pixels, twice
      rows.push({ x, y, tip_x, tip_y, angle: Math.atan2(-dy, dx) - Math.PI / 2 })
  }
  scene.slots.forEach((slot, j) => {
    if (!present(0, j) || !scene.velocities.shape[0]) return
    const from = placed(j), v = [0, 1].map((axis) => at(scene.velocities, j, axis))
    const pulled = held && held.moved && mode == "push" && held.slot == slot
    add(from, pulled ? held.to : [from[0] + ARROW * v[0], from[1] + ARROW * v[1]])
  })
  set("now", "arrows", rows, ["x", "y", "tip_x", "tip_y", "angle"])
}

function drawPaths(panel) {
  const line = (array, slot, j, lead) => {
    const xs = [], ys = []
    for (let t = 0; t < scene.length; t++) {
      xs.push(at(array, ...lead, t, j, 0))
      ys.push(at(array, ...lead, t, j, 1))
    }
    return { xs, ys, colour: colour(slot) }
  }
  const paths = [], ghosts = []
  scene.slots.forEach((slot, j) => {
    paths.push(line(scene.positions, slot, j, []))
    for (let s = 0; s < scene.ghosts.shape[0]; s++) ghosts.push(line(scene.ghosts, slot, j, [s]))
  })
  set(panel, "path", paths, ["xs", "ys", "colour"])
  set(panel, "ghosts", ghosts, ["xs", "ys", "colour"])
}

function drawTime() {
  paint("imagined", scene.frames, shown)
  drawObjects("imagined", shown)
  const dots = []
  for (let s = 0; s < scene.ghosts.shape[0]; s++)
    scene.slots.forEach((slot, j) =>
      dots.push({ x: at(scene.ghosts, s, shown, j, 0), y: at(scene.ghosts, s, shown, j, 1), colour: colour(slot) }))
  set("imagined", "dots", dots, ["x", "y", "colour"])
  const known = observed.data.frames[0], data = place.frame + shown
  const inside = shown < known.shape[0]
  const truth = `${place.index} ${inside ? data : "none"}`
  if (truth != painted) paint("truth", inside ? known : null, inside ? shown : 0)
  painted = truth
  const edited = scene.edits.length > 0
  $("truth-words").innerHTML = !inside ? `ended at frame ${FRAMES}`
    : `frame ${data}` + (edited ? ', <span class="edited-mark">unedited</span>' : "")
  $("truth-picture").classList.toggle("over", !inside)
  $("imagined-words").textContent = shown == 0 ? `frame ${data}, drawn` : `frame ${data} (+${shown})`
  $("time").value = shown
}

function drawScene() {
  const edited = scene.edits.length > 0
  if (edited) paint("now", scene.frames, 0)
  else paint("now", observed.data.frames[0], 0)
  $("now-words").innerHTML = edited ? `frame ${place.frame}, <span class="edited-mark">edited</span>, drawn by the model`
    : `frame ${place.frame}, observed`
  drawHeld()
}

function drawHeld() {
  drawObjects("now", 0)
  drawArrows()
}

function draw() {
  const edited = scene.edits.length > 0
  drawScene()
  drawPaths("now")
  drawPaths("imagined")
  $("time").max = scene.length - 1
  $("edited").classList.toggle("on", edited)
  $("edited").textContent = edited ? `edited: ${scene.edits.join(", ")}` : "unchanged: drag an object, and see what follows"
  $("sequence").textContent = `sequence ${place.index} of 0–${SEQUENCES - 1}`
  if (document.activeElement != $("frame") || !queue.length) $("frame").value = place.frame
  note(scene.note || (scene.short ? "The data has no actions after its last frame: choose a constant one to go on."
    : IMAGINES ? "" : "This model sees every frame by itself: it draws the changed scene, and has no future of it."))
  $("previous").disabled = place.index == 0
  $("next").disabled = place.index == SEQUENCES - 1
  $("reset").disabled = !edited
  for (const id of ["run", "time", "resample"]) $(id).disabled = scene.length == 1
  drawPicked()
  drawTime()
}

function drawPicked() {
  $("swap").disabled = scene.slots.length < 2
  $("remove").disabled = scene.slots.length == 0
}

const note = (words) => { $("note").textContent = words }

// --- time ------------------------------------------------------------------------------------------------

function go(t) {
  shown = (t + scene.length) % scene.length
  drawTime()
}

function play(on) {
  playing = on
  $("run").textContent = on ? "❚❚" : "▶"
  $("run").setAttribute("aria-label", on ? "Pause" : "Play")
}

setInterval(() => { if (playing && scene && scene.length > 1 && !document.hidden) go(shown + 1) },
            1000 / Number(root.dataset.fps))

// --- objects ---------------------------------------------------------------------------------------------

const stage = $("stage")

function pointer(event) {
  const box = stage.getBoundingClientRect()
  return [2 * (event.clientX - box.left) / box.width - 1, 2 * (event.clientY - box.top) / box.height - 1]
}

function nearest([x, y]) {
  const box = stage.getBoundingClientRect()
  let best = null, least = REACH
  scene.slots.forEach((slot, j) => {
    const [ox, oy] = position(0, j)
    const distance = Math.hypot((ox - x) * box.width, (oy - y) * box.height) / 2
    if (distance < least) [best, least] = [j, distance] // not if NaN
  })
  return best
}

const clamp = (value) => Math.max(-1, Math.min(1, value))

function pick(slot) {
  picked = picked.includes(slot) ? picked.filter((other) => other != slot) : [...picked, slot].slice(-2)
  drawHeld()
  drawPicked()
}

stage.addEventListener("pointerdown", (event) => {
  if (!scene || event.button != 0) return
  event.preventDefault() // no text is selected, and the picture takes no focus
  const from = pointer(event), j = nearest(from)
  if (j == null) {
    picked = []
    return drawHeld()
  }
  stage.setPointerCapture(event.pointerId)
  held = { slot: scene.slots[j], from, object: position(0, j), to: position(0, j), moved: false,
           x: event.clientX, y: event.clientY }
  stage.classList.add("held")
  drawHeld()
})

stage.addEventListener("pointermove", (event) => {
  if (!held) return
  if (Math.hypot(event.clientX - held.x, event.clientY - held.y) > 3) held.moved = true // else a tap
  if (!held.moved) return
  const [x, y] = pointer(event)
  held.to = [0, 1].map((axis) => clamp(held.object[axis] + [x, y][axis] - held.from[axis]))
  drawHeld()
  change()
})

function change() {
  const [x, y] = mode == "move" ? held.to : [0, 1].map((axis) => (held.to[axis] - held.object[axis]) / ARROW)
  send(mode, { slot: held.slot, x, y })
}

function release(event) {
  if (!held) return
  const { slot, moved } = held
  stage.classList.remove("held")
  if (moved) {
    change()
    picked = [...picked.filter((other) => other != slot), slot].slice(-2)
    const end = held
    // the object stays under the pointer until the answer to the last command
    const settle = () => { if (held == end) { held = null; drawHeld() } }
    if (waiting || queue.length) onSettled = settle; else settle()
  } else {
    held = null
    pick(slot)
  }
}
stage.addEventListener("pointerup", release)
stage.addEventListener("pointercancel", release)

let onSettled = null

function choose(name) {
  if ($(name).disabled) return
  mode = name
  for (const id of ["move", "push"]) $(id).setAttribute("aria-pressed", id == name)
  stage.classList.toggle("pushing", name == "push")
}

// --- controls --------------------------------------------------------------------------------------------

const actions = {
  move: () => choose("move"),
  push: () => choose("push"),
  swap: () => picked.length == 2 ? send("swap", { slot: picked[0], other: picked[1] })
    : note("Swap: tap two objects first; the picked ones have a white ring."),
  remove: () => picked.length ? send("remove", { slot: picked.at(-1) })
    : note("Remove: tap an object first; the picked one has a white ring."),
  reset: () => send("reset"),
  resample: () => send("resample"),
  previous: () => send("open", { index: Math.max(0, place.index - 1) }),
  next: () => send("open", { index: Math.min(SEQUENCES - 1, place.index + 1) }),
  run: () => play(!playing),
}
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", action)

$("frame").addEventListener("input", () => send("look", { frame: Number($("frame").value) }))
$("time").addEventListener("input", () => { play(false); go(Number($("time").value)) })
$("action")?.addEventListener("change", () =>
  send("follow", { action: $("action").value == "" ? null : Number($("action").value) }))

const step = (by) => { play(false); go(shown + by) }
const observe = (by) => send("look", { frame: Math.max(1, Math.min(FRAMES, place.frame + by)) })
const KEYS = { m: actions.move, p: actions.push, x: actions.swap, Delete: actions.remove, Backspace: actions.remove,
               r: actions.reset, s: actions.resample, " ": actions.run, "[": actions.previous, "]": actions.next,
               ArrowLeft: () => step(-1), ArrowRight: () => step(1), ",": () => observe(-1), ".": () => observe(1) }

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !scene) return
  const control = event.target.closest?.("input, select, button, summary")
  if (control && [" ", "Enter", "ArrowLeft", "ArrowRight"].includes(event.key)) return // of the control itself
  if (/^[0-9]$/.test(event.key) && scene.slots.includes(Number(event.key))) return pick(Number(event.key))
  const action = KEYS[event.key]
  if (!action) return
  event.preventDefault()
  action()
})

// --- begin -----------------------------------------------------------------------------------------------

observed.properties.data.change.connect(lookAround)
future.properties.data.change.connect(() => {
  receive()
  if (!waiting && !queue.length && onSettled) { onSettled(); onSettled = null }
})
addEventListener("resize", () => { if (scene) drawHeld() })
window.seqvaePlay = { // for tests and measurements
  lost: () => { play(false); note("The server has ended: start it again and reload this page.") },
  get state() { return { ...scene, known: observed.data.frames[0], place, shown, playing, picked, mode, serial, settled: !waiting && !queue.length } },
}
play(playing)
lookAround()
receive()
