// What a script adds to the pages of the administration: they work without it.

// Times where the user is.
function localTimes(root) {
  for (const time of root.querySelectorAll('time[data-local]')) {
    const at = new Date(time.dateTime)
    if (Number.isNaN(at.getTime())) continue
    time.title = time.textContent
    const two = number => String(number).padStart(2, '0')
    const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`
    time.textContent = `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
    delete time.dataset.local
  }
}

// Lists that are filtered as one types. Only the newest answer counts.
function filterAsTyped(form) {
  const input = form.querySelector('input[type=search]')
  const button = form.querySelector('button')
  let timer
  let running
  async function show() {
    running?.abort()
    running = new AbortController()
    const url = new URL(form.action)
    if (input.value) url.searchParams.set('q', input.value)
    try {
      const answer = await fetch(url, { signal: running.signal, redirect: 'error' })
      if (!answer.ok) return form.submit()
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
      const [now, then] = [document, page].map(each => each.querySelector('[data-results]'))
      if (!now || !then) return form.submit()
      localTimes(then)
      now.replaceWith(document.adoptNode(then))
      history.replaceState(null, '', url)
    } catch (error) {
      // A sign-in that has ended, or no server: the browser's own way says so.
      if (error.name !== 'AbortError') form.submit()
    }
  }
  input.addEventListener('input', () => {
    clearTimeout(timer)
    timer = setTimeout(show, 150)
  })
  button.hidden = true
  form.addEventListener('submit', event => {
    event.preventDefault()
    clearTimeout(timer)
    void show()
  })
}

// Questions: one is open at a time, and Escape closes it.
document.addEventListener('toggle', event => {
  const asked = event.target
  if (!(asked instanceof HTMLDetailsElement) || !asked.open || !asked.matches('.ask')) return
  for (const other of document.querySelectorAll('.ask[open]')) if (other !== asked) other.open = false
  asked.querySelector('.ask__panel button')?.focus()
}, true)
document.addEventListener('keydown', event => {
  if (event.key !== 'Escape') return
  const open = document.querySelector('.ask[open]')
  if (!open) return
  open.open = false
  open.querySelector('summary').focus()
})

// A form is sent once.
document.addEventListener('submit', event => {
  const form = event.target
  if (form.method !== 'post' || event.defaultPrevented) return
  if (form.dataset.sent) return event.preventDefault()
  form.dataset.sent = 'yes'
})
// A page that comes back from the browser's memory can be sent again.
addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) delete form.dataset.sent
})

function copyButton(secret) {
  if (!navigator.clipboard) return
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'button'
  button.textContent = 'Copy'
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(secret.textContent)
    button.textContent = 'Copied'
  })
  secret.after(button)
}

// On narrow screens the navigation is a line that may be longer than the screen.
document.querySelector('.nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' })
localTimes(document)
document.querySelectorAll('form[data-filter]').forEach(filterAsTyped)
document.querySelectorAll('[data-copy]').forEach(copyButton)
