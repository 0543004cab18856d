import { expect, filter, open, rows, test } from '../support/app'

test('a list is walked, chosen and opened by keys', async ({ app }) => {
  await open(app, '/vms')
  await app.keyboard.press('/')
  await expect(filter(app)).toBeFocused()
  await app.keyboard.press('Escape')
  await app.keyboard.press('j')
  await app.keyboard.press('j')
  await app.keyboard.press('x')
  await expect(app.getByText('1 VM selected')).toBeVisible()
  const name = await rows(app).nth(1).locator('.table__link').innerText()
  await app.keyboard.press('Enter')
  await expect(app.getByRole('heading', { level: 1 })).toContainText(name)
})

test('g and a letter go places, ? helps', async ({ app }) => {
  for (const [key, title] of [['h', 'Hosts'], ['p', 'Pools'], ['t', 'Tasks'], ['v', 'Virtual machines']]) {
    await app.keyboard.press('g')
    await app.keyboard.press(key)
    await expect(app.getByRole('heading', { level: 1, name: title })).toBeVisible()
  }
  await app.keyboard.press('?')
  await expect(app.getByRole('dialog', { name: /Keyboard/ })).toBeVisible()
  await app.keyboard.press('Escape')
  await expect(app.getByRole('dialog')).toHaveCount(0)
})

test('the palette finds objects and pages', async ({ app }) => {
  await open(app, '/vms')
  const name = await rows(app).first().locator('.table__link').innerText()
  await app.keyboard.press('Control+k')
  await app.getByRole('combobox').fill(name)
  await app.keyboard.press('Enter')
  await expect(app.getByRole('heading', { level: 1 })).toContainText(name)
})
