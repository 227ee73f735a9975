// Turns the results of compare.sh into a Markdown table, and writes it between the marks of a document if one is named:
//   node table.mjs RESULTS [docs/performance.md]
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder, document] = process.argv.slice(2)
const lines = []
const say = (line) => lines.push(line)
const rounds = readdirSync(folder).filter((n) => /^\d+$/.test(n)).sort((a, b) => a - b)
const order = ['vestibule', 'synapse-sqlite', 'synapse-postgres']
const titles = { vestibule: 'Vestibule', 'synapse-sqlite': 'Synapse, SQLite', 'synapse-postgres': 'Synapse, PostgreSQL' }
const servers = order.filter((s) => rounds.some((r) => existsSync(join(folder, r, s))))

const read = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined)
const runs = {} // server, scenario -> the results of all rounds
for (const s of servers)
  for (const r of rounds)
    for (const file of readdirSync(join(folder, r, s)).filter((f) => f.endsWith('.json'))) {
      const found = read(join(folder, r, s, file))
      ;((runs[s] ??= {})[file.slice(0, -5)] ??= []).push(...[found].flat())
    }
const fsync = rounds.flatMap((r) => readFileSync(join(folder, r, 'fsync.jsonl'), 'utf8').trim().split('\n').map((l) => JSON.parse(l)))

const median = (xs) => {
  const s = [...xs].sort((a, b) => a - b)
  return s.length ? (s[(s.length - 1) >> 1] + s[s.length >> 1]) / 2 : undefined
}
const show = (v) => {
  if (v === undefined) return '–'
  const text = v >= 100 ? v.toFixed(0) : v >= 10 ? v.toFixed(1) : v >= 0.1 || v === 0 ? v.toFixed(2) : v.toPrecision(2)
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

// The median over the rounds of what `pick` finds in a scenario's result; undefined where the scenario failed.
const value = (server, scenario, pick) => median((runs[server]?.[scenario] ?? []).filter((r) => !r.failed).map(pick).filter((v) => Number.isFinite(v)))
const phase = (n, pick) => (r) => (r.phases?.[n] ? pick(r.phases[n]) : undefined)
const val = (key, n = 0) => phase(n, (p) => p.values[key])
const lat = (key, q, n = 0) => phase(n, (p) => (p.latency_ms?.[key] ?? p.ops[key]?.latency_ms)?.[q])
const rate = (op, n = 0) => phase(n, (p) => p.ops[op]?.ok_per_s)
const cpu = (what, n = 0) => val(`server_cpu_s_per_1000_${what}`, n)
const fsyncOf = (server, scenario) => median(fsync.filter((f) => f.before === `${scenario} ${server}`).map((f) => f.p50))

// Each row: what it says, the scenario, the numbers of one cell, and the target: its words and when Vestibule's numbers meet it.
const most = (...limits) => (vs) => vs.every((v, i) => v <= limits[i])
const rows = [
  ['register, per second', 'register_login', [rate('register', 0)]],
  ['… CPU s per 1000', 'register_login', [cpu('registrations', 0)]],
  ['log in, CPU s per 1000', 'register_login', [cpu('logins', 1)]],
  ['create room, invite, join: per second', 'create_room', [val('rooms_per_s')]],
  ['… p50 / p99 ms', 'create_room', [lat('create_and_join', 'p50'), lat('create_and_join', 'p99')]],
  ['… **CPU s per 1000**', 'create_room', [cpu('rooms')], '≤ 3', most(3)],
  ...[['1 sender', 'send1'], ['8 senders', 'send8'], ['16 senders', 'send16']].flatMap(([who, key]) => [
    [`send, ${who}: per second`, key, [rate('send')]],
    ['… p50 / p99 ms', key, [lat('send', 'p50'), lat('send', 'p99')], ...(key === 'send1' ? ['p50 ≤ a sync + 1', (vs) => vs[0] <= fsyncOf('vestibule', key) + 1] : [])],
    ['… **CPU s per 1000**', key, [cpu('messages')], ...(key === 'send8' ? ['≤ 0.5', most(0.5)] : [])],
  ]),
  ['16 senders in one room: per second', 'hotroom', [rate('send')]],
  ['… p50 / p99 ms', 'hotroom', [lat('send', 'p50'), lat('send', 'p99')]],
  ['… **CPU s per 1000**', 'hotroom', [cpu('messages')]],
  ['… lost, twice, out of order', 'hotroom', [val('lost'), val('twice'), val('out_of_order')], 'none', most(0, 0, 0)],
  ...[['v3', 'e2e_v3'], ['sliding', 'e2e_sliding']].flatMap(([kind, key]) => [
    [`send to arrival by ${kind} sync, p50 / p99 ms`, key, [lat('delivery', 'p50'), lat('delivery', 'p99')], 'a sync + 3 / + 10', (vs) => vs.every((v, i) => v <= fsyncOf('vestibule', key) + [3, 10][i])],
    ['… **CPU s per 1000 delivered**', key, [cpu('delivered')], '≤ 1', most(1)],
    ['… not delivered, delivered twice', key, [val('undelivered_after_15s'), val('delivered_twice')], 'none', most(0, 0)],
  ]),
  ['to-device: delivered per second', 'todevice', [val('delivered_per_s')]],
  ['… send to arrival, p50 / p99 ms', 'todevice', [lat('delivery', 'p50'), lat('delivery', 'p99')]],
  ['… **CPU s per 1000 delivered**', 'todevice', [cpu('delivered')], '≤ 0.4', most(0.4)],
  ['… not delivered', 'todevice', [val('undelivered_after_15s')], 'none', most(0)],
  ['upload of 50 one-time keys: per second', 'keys', [rate('keys_upload_50', 0)]],
  ['… p50 / p99 ms', 'keys', [lat('keys_upload_50', 'p50', 0), lat('keys_upload_50', 'p99', 0)]],
  ['… **CPU s per 1000**', 'keys', [cpu('uploads_of_50', 0)], '≤ 3', most(3)],
  ['keys/query: per second', 'keys', [rate('keys_query', 1)]],
  ['… p50 / p99 ms', 'keys', [lat('keys_query', 'p50', 1), lat('keys_query', 'p99', 1)]],
  ['… **CPU s per 1000**', 'keys', [cpu('queries', 1)], '≤ 0.1', most(0.1)],
  ['keys/claim: per second', 'keys', [rate('keys_claim', 2)]],
  ['… p50 / p99 ms', 'keys', [lat('keys_claim', 'p50', 2), lat('keys_claim', 'p99', 2)]],
  ['… **CPU s per 1000**', 'keys', [cpu('claims', 2)]],
  ['… one-time keys handed out twice', 'keys', [val('keys_handed_out_twice', 2)], 'none', most(0)],
  ...[['v3', 'initial_v3', 'initial_sync', 10], ['sliding', 'initial_sliding', 'sync_first', 4]].flatMap(([kind, key, op, limit]) => [
    [`initial ${kind} sync of 50 rooms, p50 / p99 ms`, key, [lat(op, 'p50'), lat(op, 'p99')]],
    ['… **CPU s per 1000**', key, [cpu('initial_syncs')], `≤ ${limit}`, most(limit)],
  ]),
  ...[['upload', 0, '≤ 4', 4], ['download', 1, '≤ 0.5', 0.5]].flatMap(([way, n, text, limit]) => [
    [`${way} of 10 MiB: MiB per second`, 'media', [val('mib_per_s', n)]],
    ['… **CPU ms per MiB**', 'media', [val('server_cpu_ms_per_mib', n)], text, most(limit)],
  ]),
  ['200 MiB up, down: MiB per second', 'media', [val('mib_per_s', 2), val('mib_per_s', 3)]],
  ['… peak memory grew by, MiB', 'media', [val('rss_grew_by_mib', 2), val('rss_grew_by_mib', 3)], 'flat'],
  ['2,000 long polls: KiB of memory each, RSS / PSS', 'idle', [val('rss_kib_per_connection'), val('pss_kib_per_connection')], '≤ 8', (vs) => vs[0] >= 0 && vs[0] <= 8],
  ['… CPU cores', 'idle', [val('server_cpu_cores_held')], '≤ 0.02', most(0.02)],
  ['… polls per second; **CPU s per 1000**', 'idle', [val('polls_per_s'), cpu('polls')]],
  ['start to first answer, ms (median of 3)', 'startup', [lat('ready', 'p50')], '≤ 100', most(100)],
  ['… CPU s until then', 'startup', [val('cpu_s_until_ready')]],
  ['memory 5 s after a start, MiB', 'startup', [val('idle_rss_mib')], '≤ 30', most(30)],
  ['memory after everything (PSS), MiB', 'memory', [(r) => r.pss_mib], '≤ 80', most(80)],
  ['on disk after everything, MiB', 'memory', [(r) => r.disk_mib]],
]

const about = readFileSync(join(folder, 'about.txt'), 'utf8').trim().split('\n')
say(`Measured with ${about.join(', ')}.\n`)
say(`| | ${servers.map((s) => titles[s]).join(' | ')} | target |`)
say(`|---|${'---:|'.repeat(servers.length)}---|`)
const missed = []
let section = ''
for (const [what, scenario, picks, target = '', meets] of rows) {
  if (!what.startsWith('…')) section = what
  const cells = servers.map((s) => picks.map((p) => value(s, scenario, p)))
  if (cells.flat().every((v) => v === undefined)) continue
  const ours = cells[servers.indexOf('vestibule')]
  const fails = meets && ours && (ours.some((v) => v === undefined) || !meets(ours))
  if (fails) missed.push(`${section === what ? what : `${section.split(/: |, (?=p50)/)[0]}:${what.slice(1)}`} (${ours.map(show).join(' / ')}; target ${target})`.replaceAll('**', ''))
  say(`| ${what} | ${cells.map((c) => c.map(show).join(' / ')).join(' | ')} | ${target}${meets && ours ? (fails ? ', **missed**' : ', met') : ''} |`)
}

// What has to be known to judge the figures: whether the machine was quiet, the disk steady, and every request answered.
const all = servers.flatMap((s) => Object.entries(runs[s]).flatMap(([scenario, rs]) => rs.map((r) => ({ s, scenario, r }))))
const other = all.flatMap(({ r }) => (r.phases ?? []).filter((p) => p.machine?.idle_cores !== undefined).map((p) => p.machine.other_busy_cores))
const spans = all.flatMap(({ r }) => (r.started ? [Date.parse(r.started)] : []))
say(`\nThe first scenario began at ${new Date(Math.min(...spans)).toISOString().slice(0, 16).replace('T', ' ')} UTC, the last ${show((Math.max(...spans) - Math.min(...spans)) / 60000)} minutes later.`)
if (other.length) say(`Processes other than the server and the load generator used ${show(median(other))} cores in the median scenario and ${show(Math.max(...other))} at most.`)
const p50s = fsync.map((f) => f.p50)
say(`A synced append of 1 KiB to the same disk, probed before each scenario: p50 ${show(median(p50s))} ms (${show(Math.min(...p50s))} to ${show(Math.max(...p50s))}).`)
if (servers.includes('vestibule')) say(missed.length ? `\nMissed:\n\n${missed.map((m) => `- ${m}`).join('\n')}` : '\nEvery target is met.')
const wrong = []
for (const { s, scenario, r } of all) {
  if (r.failed) wrong.push(`${scenario} on ${titles[s]}: ${r.failed}`)
  const ops = [...(r.phases ?? []).flatMap((p) => Object.entries(p.ops)), ...Object.entries(r.outside_window ?? {})]
  for (const [op, o] of ops) if (o.errors) wrong.push(`${scenario} on ${titles[s]}: ${o.errors} of ${o.errors + o.ok} ${op} failed (${Object.entries(o.errors_by_status).map(([k, n]) => `${k}: ${n}`).join(', ')})`)
  for (const p of r.phases ?? []) if (p.values.answers_with_wrong_bytes) wrong.push(`${scenario} on ${titles[s]}: ${p.values.answers_with_wrong_bytes} downloads with wrong bytes`)
}
say(wrong.length ? `\nNot answered with 2xx:\n\n${wrong.map((w) => `- ${w}`).join('\n')}` : '\nEvery request was answered with 2xx.')

const text = lines.join('\n')
if (document) {
  const [before, rest] = readFileSync(document, 'utf8').split('<!-- figures -->\n')
  const after = rest?.split('<!-- end of figures -->')[1]
  if (after === undefined) throw new Error(`${document} has no marks <!-- figures --> and <!-- end of figures -->`)
  writeFileSync(document, `${before}<!-- figures -->\n${text}\n<!-- end of figures -->${after}`)
} else console.log(text)
