// What a page is looked at for; looks.py runs these in the page. Each returns what is wrong, in words.

const describe = element => element.outerHTML.replace(/\s+/g, " ").slice(0, 90)

const isShown = element => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })

// For screen readers only, or outside the window until it has the focus.
const isTuckedAway = element => {
  const box = element.getBoundingClientRect()
  return box.width <= 1 || box.height <= 1 || box.right <= 0 || box.bottom + scrollY <= 0
}

const textsOf = root => {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
  const texts = []
  while (walker.nextNode()) if (walker.currentNode.data.trim()) texts.push(walker.currentNode)
  return texts.filter(text => isShown(text.parentElement) && !hasAncestor(text.parentElement, isTuckedAway))
}

const hasAncestor = (element, is) => Boolean(element) && (is(element) || hasAncestor(element.parentElement, is))

const scrolls = element => ["auto", "scroll"].includes(getComputedStyle(element).overflowX)

// Fields scroll by themselves.
const hides = element => !element.matches("input, select, textarea") && getComputedStyle(element).overflowX !== "visible"

// `width` is the window's: of a page that is too wide a phone shows more, in smaller print.
const fits = width => {
  const wrong = []
  const wide = document.documentElement.scrollWidth
  if (wide > width) wrong.push(`it is ${wide} wide and the window ${width}`)
  for (const text of textsOf(document.body)) {
    const range = document.createRange()
    range.selectNodeContents(text)
    const box = range.getBoundingClientRect()
    const outside = box.right > width + 1 || box.left < -1
    if (outside && !hasAncestor(text.parentElement, scrolls)) wrong.push(`outside the window: ${text.data.trim()}`)
  }
  for (const element of document.body.querySelectorAll("*")) {
    const cut = element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1
    if (hides(element) && cut && !hasAncestor(element, scrolls) && !hasAncestor(element, isTuckedAway)) wrong.push(`cut off: ${describe(element)}`)
  }
  return wrong
}

const CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary"

const shownControls = () => [...document.querySelectorAll(CONTROLS)].filter(isShown)

const isSmall = (element, least) => {
  const box = element.getBoundingClientRect()
  return box.height < least || box.width < least
}

// Links in a sentence may be as small as its letters: the target-size rule of axe sees to the exceptions.
const isComfortable = () => {
  const wrong = []
  for (const control of shownControls()) {
    const isField = control.matches("input:not([type=submit], [type=checkbox]), select, textarea")
    if (isField && parseFloat(getComputedStyle(control).fontSize) < 16) wrong.push(`small print: ${describe(control)}`)
    const isMain = control.matches("button:not([aria-controls]), input[type=submit], .button")
    if (isMain && isSmall(control, 44)) wrong.push(`a button under 44 pixels: ${describe(control)}`)
    if (control.matches("button[aria-controls]") && isSmall(control, 24)) {
      wrong.push(`under 24 pixels: ${describe(control)}`)
    }
  }
  return wrong
}

// Relative luminance and contrast as WCAG 2.2 defines them.
const numbersOf = colour => {
  const numbers = colour.match(/[\d.]+/g).map(Number)
  return colour.startsWith("color(srgb") ? numbers.map((part, i) => (i < 3 ? part * 255 : part)) : numbers
}

const luminance = colour => {
  const [red, green, blue] = numbersOf(colour).map(part => {
    const share = part / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

const contrast = (one, other) => {
  const [darker, lighter] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (lighter + 0.05) / (darker + 0.05)
}

const groundOf = element => {
  const colour = getComputedStyle(element).backgroundColor
  const isClear = numbersOf(colour)[3] === 0
  return isClear && element.parentElement ? groundOf(element.parentElement) : isClear ? "rgb(255, 255, 255)" : colour
}

// A ring 2 pixels thick and 3:1 against what is around it. The focus ends where it was.
const showsFocus = () => {
  const wrong = []
  const before = document.activeElement
  for (const control of shownControls()) {
    control.focus({ focusVisible: true })
    const style = getComputedStyle(control)
    const thick = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth)
    if (thick < 2) wrong.push(`no ring: ${describe(control)}`)
    else if (contrast(style.outlineColor, groundOf(control.parentElement)) < 3) {
      wrong.push(`a faint ring, ${style.outlineColor}: ${describe(control)}`)
    }
  }
  before === document.body ? document.activeElement.blur() : before.focus()
  return wrong
}

// After two frames, so that what the scripts and styles do has been drawn.
const shifts = () =>
  new Promise(resolve => {
    const entries = []
    const observer = new PerformanceObserver(list => entries.push(...list.getEntries()))
    observer.observe({ type: "layout-shift", buffered: true })
    const told = entry => `moved by ${entry.value}: ${entry.sources.map(source => source.node?.outerHTML?.slice(0, 90))}`
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(entries.map(told)))))
  })

const requests = () => ({
  styles: [...document.querySelectorAll("link[rel=stylesheet]")].map(link => link.href),
  scripts: [...document.scripts].map(script => script.src),
  all: performance.getEntriesByType("resource").map(({ name, transferSize }) => ({ name, transferSize })),
})
