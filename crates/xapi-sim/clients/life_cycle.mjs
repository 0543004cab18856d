// A life cycle with the client of today's product (npm xen-api), over JSON-RPC and over XML-RPC: life_cycle.mjs URL
import assert from 'node:assert/strict'
import { createClient } from 'xen-api'

const refused = (code, promise) => assert.rejects(promise, error => error.code === code)

async function lifeCycle(url, transport) {
  const wrong = createClient({ url, auth: { user: 'root', password: 'wrong' }, transport, watchEvents: false })
  await refused('SESSION_AUTHENTICATION_FAILED', wrong.connect())
  const xapi = createClient({ url, auth: { user: 'root', password: 'password' }, transport, debounce: 10 })
  await xapi.connect()
  await xapi.objectsFetched
  assert.equal(xapi.pool.$type, 'pool')
  const run = (method, ...args) => xapi.callAsync(method, ...args)

  const template = Object.values(xapi.objects.all).find(
    object => object.$type === 'VM' && object.is_a_template && object.name_label === 'Other install media'
  )
  const ref = await run('VM.clone', template.$ref, `node ${transport}`)
  await xapi.call('VM.set_is_a_template', ref, false)
  // The cache that follows the events has it, in its final state.
  const vm = await xapi.barrier(ref)
  assert.equal(vm.name_label, `node ${transport}`)
  assert.equal(vm.is_a_template, false)
  const disk = await run('VDI.create', {
    name_label: 'disk',
    name_description: '',
    SR: xapi.pool.default_SR,
    virtual_size: String(2 ** 30),
    type: 'user',
    sharable: false,
    read_only: false,
    other_config: {},
  })
  await run('VBD.create', {
    VM: ref,
    VDI: disk,
    userdevice: '0',
    bootable: true,
    mode: 'RW',
    type: 'Disk',
    empty: false,
    other_config: {},
    qos_algorithm_type: '',
    qos_algorithm_params: {},
  })
  // A number in JSON, text in XML.
  assert.equal(Number((await xapi.barrier(disk)).virtual_size), 2 ** 30)

  await run('VM.start', ref, false, false)
  assert.equal((await xapi.barrier(ref)).power_state, 'Running')
  await refused('VM_BAD_POWER_STATE', run('VM.start', ref, false, false))
  const snapshot = await run('VM.snapshot', ref, 'before', [])
  assert.equal((await xapi.barrier(snapshot)).snapshot_of, ref)
  await run('VM.hard_reboot', ref)
  await run('VM.hard_shutdown', ref)
  assert.equal((await xapi.barrier(ref)).power_state, 'Halted')
  await run('VM.revert', snapshot)
  const used = (await xapi.barrier(ref)).$VBDs.map(vbd => vbd.VDI)
  await run('VM.destroy', snapshot)
  await run('VM.destroy', ref)
  await xapi.barrier()
  assert.equal(xapi.getObjectByRef(ref, undefined), undefined)
  assert.equal(used.length, 1)
  await refused('HANDLE_INVALID', xapi.call('VM.get_power_state', ref))
  await xapi.disconnect()
}

for (const transport of ['json-rpc', 'xml-rpc']) {
  await lifeCycle(process.argv[2], transport)
}
// Its pool of connections would keep the process for a while.
process.exit(0)
