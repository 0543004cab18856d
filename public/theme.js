// Before the first paint: the theme chosen in this browser, else the system's.
try {
  const theme = localStorage.getItem('xo.theme')
  if (theme) document.documentElement.dataset.theme = theme
} catch {}
