// --- time ------------------------------------------------------------------------------------------------

function go(t) {
  if (!scene) return
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
  change(send)
})

function change(tell) {
  const [x, y] = mode == "move" ? held.to : [0, 1].map((axis) => (held.to[axis] - held.object[axis]) / ARROW)
  tell(mode, { slot: held.slot, x, y })
}

function release(event) {
  if (!held) return
  const { slot, moved } = held
  stage.classList.remove("held")
  if (moved) {
    change(finish)
    picked = [...picked.filter((other) => other != slot), slot].slice(-2)
    const end = held
    // the object stays under the pointer until the answer to the last command
    const settle = () => { if (held == end) { held = null; drawHeld() } }
    if (settled()) settle(); else onSettled = settle
  } else {
    held = null
    pick(slot)
  }
}
stage.addEventListener("pointerup", release)
stage.addEventListener("pointercancel", release)

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
  previous: () => send("open", { index: Math.max(0, scene.index - 1) }),
  next: () => send("open", { index: Math.min(SEQUENCES - 1, scene.index + 1) }),
  run: () => play(!playing),
}
for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", () => { if (scene) action() })

$("frame").addEventListener("input", () => send("look", { frame: Number($("frame").value) }))
$("time").addEventListener("input", () => { play(false); go(Number($("time").value)) })
$("action")?.addEventListener("change", () =>
  send("follow", { action: $("action").value == "" ? null : Number($("action").value) }))

const step = (by) => { play(false); go(shown + by) }
const observe = (by) => send("look", { frame: Math.max(1, Math.min(FRAMES, scene.frame + by)) })
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

const sizes = new ResizeObserver(fit)
for (const panel of ["now", "imagined"]) sizes.observe($(`${panel}-marks`))
window.seqvaePlay = { // for tests and measurements
  get state() { return { ...scene, truth, shown, playing, picked, mode, serial: sent.serial, settled: settled() } },
}
play(playing)
