// Scripts of the page of `seqvae play`: this one, pictures.js and controls.js are one program, which runs once
// per page. docs/play.md describes the page.

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

// --- state -----------------------------------------------------------------------------------------------

let scene = null // the newest answer: its words, and arrays with their shapes
let truth = null // the observed frame and the true ones after it
let shown = 0 // frame of the future
let playing = IMAGINES && !matchMedia("(prefers-reduced-motion: reduce)").matches
let mode = "move"
let picked = [] // slots, the newest last, at most two
let held = null // an object that is being dragged: slot, place where it was grabbed, pointer
let onSettled = null // what is done after the answer to the last command

// --- the server ------------------------------------------------------------------------------------------

let sent = { serial: 0, at: 0, words: "" } // the newest command
let answered = -1 // serial of the newest answer; the first message answers no command and has 0
const queue = [] // commands that wait for the answer to the one before
const TYPES = { uint8: Uint8Array, float32: Float32Array }
const server = new WebSocket(`ws://${location.host}/scene`)
server.binaryType = "arraybuffer"
server.onmessage = ({ data }) => receive(unpack(data))
server.onclose = () => { play(false); note("The server has ended: start it again and reload this page.") }

const settled = () => answered == sent.serial && !queue.length

function send(kind, values = {}) {
  replace(kind, values)
  queue.push({ kind, ...values })
  pump()
}

// The end of a drag waits for no answer to the drag. Often the drag has told its place already.
function finish(kind, values) {
  replace(kind, values)
  const command = { kind, ...values }
  if (queue.length) send(kind, values)
  else if (sent.words != JSON.stringify(command)) submit(command)
}

function replace(kind, { slot }) {
  const last = queue.at(-1)
  if (last && REPLACED.includes(kind) && last.kind == kind && last.slot == slot) queue.pop()
}

function pump() {
  const waiting = answered != sent.serial && performance.now() - sent.at < PATIENCE
  if (queue.length && !waiting) submit(queue.shift())
}

function submit(values) {
  sent = { serial: sent.serial + 1, at: performance.now(), words: JSON.stringify(values) }
  if (server.readyState == WebSocket.OPEN) server.send(JSON.stringify({ serial: sent.serial, ...values }))
}

// the words of a message, and its arrays with their shapes: `pack` of page.py, undone
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true)
  const { arrays, ...message } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)))
  let start = 4 + length
  for (const [name, [type, shape]] of Object.entries(arrays)) {
    const numbers = new TYPES[type](buffer, start, shape.reduce((a, b) => a * b, 1))
    message[name] = Object.assign(numbers, { shape })
    start += numbers.byteLength
  }
  return message
}

function receive(message) {
  truth = message.truth ?? truth
  if (message.serial != sent.serial) return // of a drag that has gone on since
  const moved = scene && (message.index != scene.index || message.frame != scene.frame)
  scene = { ...message, length: message.frames.shape[0] }
  picked = moved ? [] : picked.filter((slot) => scene.slots.includes(slot))
  if (answered != sent.serial) measure(sent.at, sent.serial)
  answered = sent.serial
  shown = Math.min(shown, scene.length - 1)
  draw()
  pump()
  if (settled() && onSettled) { onSettled(); onSettled = null }
}

function measure(start, detail) {
  performance.measure("play: answered", { start, end: performance.now(), detail })
  requestAnimationFrame(() => setTimeout(() => { // after the frame with the new pictures is painted
    performance.measure("play: shown", { start, end: performance.now(), detail })
    if (performance.getEntriesByType("measure").length > 2000) performance.clearMeasures()
  }))
}

// --- all that an answer changes --------------------------------------------------------------------------

function draw() {
  const edited = scene.edits.length > 0
  drawScene()
  $("time").max = scene.length - 1
  $("edited").classList.toggle("on", edited)
  $("edited").textContent = edited ? `edited: ${scene.edits.join(", ")}` : "unchanged: drag an object, and see what follows"
  $("sequence").textContent = `sequence ${scene.index} of 0–${SEQUENCES - 1}`
  if (document.activeElement != $("frame") || !queue.length) $("frame").value = scene.frame
  note(scene.note || (scene.short ? "The data has no actions after its last frame: choose a constant one to go on."
    : IMAGINES ? "" : "This model sees every frame by itself: it draws the changed scene, and has no future of it."))
  $("previous").disabled = scene.index == 0
  $("next").disabled = scene.index == SEQUENCES - 1
  $("reset").disabled = !edited
  for (const id of ["run", "time", "resample"]) $(id).disabled = scene.length == 1
  drawPicked()
  drawTime()
}

function drawScene() {
  const edited = scene.edits.length > 0
  if (edited) paint("now", scene.frames, 0)
  else paint("now", truth, 0)
  $("now-words").innerHTML = edited ? `frame ${scene.frame}, <span class="edited-mark">edited</span>, drawn by the model`
    : `frame ${scene.frame}, observed`
  drawHeld()
}

function drawTime() {
  const data = scene.frame + shown, inside = shown < truth.shape[0]
  paint("imagined", scene.frames, shown)
  paint("truth", inside ? truth : null, shown)
  drawImagined()
  $("truth-words").innerHTML = !inside ? `ended at frame ${FRAMES}`
    : `frame ${data}` + (scene.edits.length ? ', <span class="edited-mark">unedited</span>' : "")
  $("truth-picture").classList.toggle("over", !inside)
  $("imagined-words").textContent = shown == 0 ? `frame ${data}, drawn` : `frame ${data} (+${shown})`
  $("time").value = shown
}

function drawPicked() {
  $("swap").disabled = scene.slots.length < 2
  $("remove").disabled = scene.slots.length == 0
}

const note = (words) => { $("note").textContent = words }
