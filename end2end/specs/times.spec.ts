import { expect, open, rows, test } from '../support/app'

test.use({ timezoneId: 'Asia/Kolkata' })

test('times are those of the place where the browser is', async ({ app }) => {
  await open(app, '/vms?s=power_state%3Arunning')
  const since = rows(app).locator('td[title^="Since"]').first()
  await expect(since).toHaveAttribute('title', /^Since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\+05:30$/)
})
