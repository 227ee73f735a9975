#!/usr/bin/env node
// What it costs when very much expires at once: writes EVENTS messages and MEDIA bytes of files to a server of its own with a short
// lifetime, lets all of it expire, and measures a lone sender's `PUT send` all the while, the disk, CPU and memory.
//
//   BASE=$PWD/bench VESTIBULE=…/release/vestibule tools/performance/expiry.mjs            half an hour, 20 GB of disk
//   EVENTS=5000 MEDIA=200MB LIFETIME=60 SLOT=5 QUIET=5 SETTLE=5 BASE=… VESTIBULE=… …      a try: tells only whether it works
//
// Phases: `empty` (nothing stored), `fill`, `quiet` (all stored, nothing expires: what to compare with), `expiring` (from the first moment
// anything expires until the disk is back), `after`. Needs Node.js 20 or later and nothing else. Writes to $BASE/expiry.work, which it
// removes, and $BASE/expiry.json; ends the server that it started, by its pid. Ends with 0 when every request was answered with 200,
// everything was written in time, and the disk was back within ten minutes of the last edge.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** The disk has to be back this long after the last key's end: what D3 promises. */
const BACK_WITHIN_MS = 600_000
/** Space that comes back within this long of the last of it counts as coming back still. */
const STILL_MS = 60_000
/** What the journal's log and files being rewritten add now and then. */
const NOISE = 8 * 1048576
const TICKS_PER_SECOND = 100 // of /proc: USER_HZ, which is part of Linux's interface

class Client {
  constructor(port, connections) {
    this.port = port
    this.agent = new http.Agent({ keepAlive: true, maxSockets: connections, noDelay: true })
  }

  /** One call; answers status and parsed body. */
  call(method, path, token, body, type = 'application/json') {
    const bytes = body === undefined ? undefined : Buffer.isBuffer(body) ? body : Buffer.from(JSON.stringify(body))
    const headers = { 'content-type': type, 'content-length': bytes?.length ?? 0 }
    if (token) headers.authorization = `Bearer ${token}`
    return new Promise((done, failed) => {
      const request = http.request({ host: '127.0.0.1', port: this.port, agent: this.agent, method, path, headers }, (response) => {
        const parts = []
        response.on('data', (part) => parts.push(part))
        response.on('error', failed)
        response.on('end', () => {
          try {
            done({ status: response.statusCode, body: JSON.parse(Buffer.concat(parts).toString() || '{}') })
          } catch (error) {
            failed(error)
          }
        })
      })
      request.on('error', failed)
      request.end(bytes)
    })
  }

  async ok(...args) {
    const { status, body } = await this.call(...args)
    if (status !== 200) throw new Error(`${args[0]} ${args[1]}: ${status} ${body.errcode ?? ''}`)
    return body
  }

  async register(name) {
    const account = { username: name, password: randomBytes(12).toString('hex') }
    const first = await this.call('POST', '/_matrix/client/v3/register', undefined, account)
    const auth = { type: 'm.login.dummy', session: first.body.session }
    const { user_id, access_token } = await this.ok('POST', '/_matrix/client/v3/register', undefined, { ...account, auth })
    return { id: user_id, token: access_token }
  }

  /** An encrypted room of two. */
  async room(owner, guest) {
    const encryption = { type: 'm.room.encryption', state_key: '', content: { algorithm: 'm.megolm.v1.aes-sha2' } }
    const body = { preset: 'private_chat', is_direct: true, invite: [guest.id], initial_state: [encryption] }
    const { room_id } = await this.ok('POST', '/_matrix/client/v3/createRoom', owner.token, body)
    await this.ok('POST', `/_matrix/client/v3/join/${encodeURIComponent(room_id)}`, guest.token, {})
    return room_id
  }

  send(user, room, transaction, content) {
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/send/m.room.encrypted/${transaction}`
    return this.ok('PUT', path, user.token, content)
  }
}

/** An event's content of 700 bytes, as encryption makes it: the server cannot tell that nobody can decrypt it. */
function message(session) {
  const content = {
    algorithm: 'm.megolm.v1.aes-sha2', sender_key: session, device_id: 'MEASURING', session_id: session, ciphertext: '',
  }
  content.ciphertext = randomBytes(600).toString('base64').slice(0, 700 - JSON.stringify(content).length)
  return content
}

/** In a thread of its own, so that what the filling does is not taken for the server's. Sends at set times, whether or not the one before is answered. */
async function probe({ port, user, room, perSecond }) {
  const client = new Client(port, 64)
  const content = message(randomBytes(32).toString('base64'))
  const every = 1000 / perSecond
  const sent = [] // when (ms of the day's clock), how late the timer was, how long it took, whether it was answered
  let stopped = false
  parentPort.once('message', () => (stopped = true))
  const open = new Set()
  const began = performance.now()
  for (let n = 0; !stopped; n++) {
    const due = began + n * every
    await sleep(Math.max(0, due - performance.now()))
    const [at, from] = [Date.now(), performance.now()]
    const answered = (ok) => {
      sent.push([at, from - due, performance.now() - from, ok])
      open.delete(one)
    }
    const one = client.send(user, room, `probe${n}`, content).then(() => answered(true), () => answered(false))
    open.add(one)
  }
  await Promise.all(open)
  client.agent.destroy()
  parentPort.postMessage(sent)
}

const units = { kB: 1e3, MB: 1e6, GB: 1e9, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }
function bytesOf(text) {
  const [, number, unit] = /^([\d.]+)\s*([A-Za-z]*)$/.exec(text) ?? []
  const size = Number(number) * (unit ? units[unit] : 1)
  if (!Number.isFinite(size)) throw new Error(`not a size: ${text} (such as 10GB)`)
  return Math.round(size)
}

function settings(env) {
  const whole = (key, otherwise) => {
    const value = Number(env[key] ?? otherwise)
    if (!Number.isInteger(value) || value < 0) throw new Error(`${key} is a whole number`)
    return value
  }
  for (const key of ['BASE', 'VESTIBULE']) if (!env[key]) throw new Error(`set ${key}: see the top of this file`)
  const base = resolve(env.BASE)
  return {
    base, work: join(base, 'expiry.work'), out: join(base, 'expiry.json'), vestibule: resolve(env.VESTIBULE), port: whole('PORT', 18500),
    events: whole('EVENTS', 1_000_000), media: bytesOf(env.MEDIA ?? '10GB'), file: bytesOf(env.FILE ?? '50MB'),
    senders: Math.max(2, whole('SENDERS', 16)), uploaders: Math.max(1, whole('UPLOADERS', 2)), perSecond: Math.max(1, whole('PROBES', 20)),
    lifetime: whole('LIFETIME', 900) * 1000, slot: whole('SLOT', 60) * 1000,
    quiet: whole('QUIET', 120) * 1000, settle: whole('SETTLE', 20) * 1000,
  }
}

function configuration(set) {
  return `[server]
name = "localhost"
listen = "127.0.0.1:${set.port}"
data = "data"
root_key = "root.key"
[registration]
open = true
[retention]
lifetime = "${set.lifetime / 1000}s"
slot = "${set.slot / 1000}s"
[media]
size_max = "${set.file}B"
upload_per_day = "${2 * set.media + set.file}B"
[limits]
enabled = false
[log]
filter = "warn"
`
}

/** Bytes that a folder's files take on the disk. */
function disk(folder) {
  let sum = 0
  for (const entry of existsSync(folder) ? readdirSync(folder, { withFileTypes: true, recursive: true }) : []) {
    // Files go while we look.
    if (entry.isFile()) sum += (statSync(join(entry.parentPath ?? entry.path, entry.name), { throwIfNoEntry: false })?.blocks ?? 0) * 512
  }
  return sum
}

/** The server as a process: its CPU seconds and its memory. */
class Server {
  constructor(set) {
    this.set = set
    mkdirSync(set.work, { recursive: true })
    writeFileSync(join(set.work, 'vestibule.toml'), configuration(set))
    const log = openSync(join(set.work, 'server.log'), 'a')
    this.process = spawn(set.vestibule, ['serve', '--config', join(set.work, 'vestibule.toml')], { cwd: set.work, stdio: ['ignore', log, log] })
    closeSync(log)
    this.ended = new Promise((done) => {
      this.process.once('exit', done)
      this.process.once('error', done)
    })
    this.ended.then(() => (this.gone = true))
  }

  async ready(client) {
    for (let tries = 0; tries < 300 && !this.gone; tries++) {
      const answer = await client.call('GET', '/_matrix/client/versions').catch(() => undefined)
      if (answer?.status === 200) return
      await sleep(100)
    }
    throw new Error('the server does not answer')
  }

  look() {
    if (this.gone) throw new Error('the server ended')
    const proc = `/proc/${this.process.pid}`
    // After the name in parentheses: state is the third field, user and system time the 14th and 15th.
    const fields = readFileSync(`${proc}/stat`, 'utf8').split(') ').pop().split(' ')
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`${proc}/status`, 'utf8'))?.[1]) * 1024
    const data = join(this.set.work, 'data')
    return {
      at: Date.now(), journal: disk(join(data, 'journal')), media: disk(join(data, 'media')),
      cpu: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND, rss,
    }
  }

  log() {
    const path = join(this.set.work, 'server.log')
    return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').slice(-20).join('\n') : ''
  }

  async end() {
    if (!this.gone) this.process.kill('SIGTERM')
    const slow = setTimeout(() => this.process.kill('SIGKILL'), 30_000)
    await this.ended
    clearTimeout(slow)
  }
}

const mib = (bytes) => (bytes / 1048576).toFixed(bytes < 104857600 ? 1 : 0)
const clock = () => new Date().toISOString().slice(11, 19)
const say = (text) => console.log(`${clock()} ${text}`)

/** Looks every second until `over` says so, and tells every five. */
async function watch(server, samples, phase, over) {
  for (let n = 0; ; n++) {
    const seen = server.look()
    samples.push(seen)
    if (n % 5 === 0) {
      const before = samples.at(-6) ?? samples[0]
      const cores = seen.at > before.at ? (seen.cpu - before.cpu) / ((seen.at - before.at) / 1000) : 0
      say(`${phase.padEnd(8)} journal ${mib(seen.journal)} MiB, media ${mib(seen.media)} MiB, CPU ${cores.toFixed(2)} cores, RSS ${mib(seen.rss)} MiB`)
    }
    if (over(seen)) return
    await sleep(1000)
  }
}

/** Writes everything: the files evenly among the messages, so that both expire together. Stops when it is told that time is up. */
async function fill(client, set, users, rooms, until) {
  const done = { events: 0, files: 0, bytes: 0, last: 0 }
  const files = Math.ceil(set.media / set.file)
  const bytes = randomBytes(set.file)
  let [begun, uploading] = [0, 0]
  const timeLeft = () => Date.now() < until
  const sender = async (user, room) => {
    const content = message(randomBytes(32).toString('base64'))
    while (begun < set.events && timeLeft()) {
      await client.send(user, room, `fill${begun++}`, content)
      done.events++
    }
  }
  const uploader = async (user) => {
    while (uploading < files && timeLeft()) {
      if (uploading * set.events > done.events * files) {
        await sleep(20)
        continue
      }
      const size = Math.min(set.file, set.media - uploading++ * set.file)
      await client.ok('POST', '/_matrix/media/v3/upload', user.token, bytes.subarray(0, size), 'application/octet-stream')
      done.files++
      done.bytes += size
    }
  }
  const senders = rooms.map(([user, room]) => sender(user, room))
  const uploaders = users.slice(0, set.uploaders).map(uploader)
  await Promise.all([...senders, ...uploaders])
  return { ...done, last: Date.now(), complete: done.events === set.events && done.files === files }
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

function phaseOf(name, [from, to], sent, samples) {
  const mine = sent.filter(([at]) => at >= from && at < to)
  const ms = mine.filter(([, , , ok]) => ok).map(([, , took]) => took).sort((a, b) => a - b)
  const late = mine.map(([, timer]) => timer).sort((a, b) => a - b)
  const seen = samples.filter(({ at }) => at >= from && at <= to + 1000)
  const of = (q) => (ms.length ? Number(quantile(ms, q).toFixed(2)) : null)
  return {
    name, seconds: (to - from) / 1000, sent: ms.length, failed: mine.length - ms.length,
    p50_ms: of(0.5), p90_ms: of(0.9), p99_ms: of(0.99), p999_ms: of(0.999), max_ms: of(1),
    // Far more than a millisecond: the machine was so busy that the latencies beside it are not the server's alone.
    timer_late_p99_ms: late.length ? Number(quantile(late, 0.99).toFixed(2)) : null,
    cpu_s: seen.length ? Number((seen.at(-1).cpu - seen[0].cpu).toFixed(2)) : null,
    rss_max_bytes: seen.reduce((most, one) => Math.max(most, one.rss), 0),
  }
}

/** When the disk was back: the first look after the most that was taken at which nearly all (95 %) of what came free was free. */
function freed(what, samples, lastEdge) {
  const after = samples.filter(({ at }) => at >= samples.peakFrom)
  const peak = after.reduce((found, one) => (one[what] > found[what] ? one : found))
  // What is taken in the end goes up and down a little, as the probe goes on writing: the median of the last minute.
  const last = after.filter(({ at }) => at >= after.at(-1).at - STILL_MS).map((one) => one[what]).sort((a, b) => a - b)
  const left = quantile(last, 0.5)
  const first = after.slice(after.indexOf(peak)).find((one) => one[what] <= left + (peak[what] - left) / 20 + NOISE)
  return { peak_bytes: peak[what], left_bytes: left, seconds_after_last_edge: first ? Math.round((first.at - lastEdge) / 1000) : null }
}

function table(result) {
  const rows = [['phase', 'seconds', 'sends', 'failed', 'p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'CPU s', 'cores', 'RSS max MiB']]
  for (const one of result.phases) {
    const cores = one.seconds ? (one.cpu_s / one.seconds).toFixed(2) : ''
    rows.push([one.name, one.seconds.toFixed(0), one.sent, one.failed, one.p50_ms, one.p99_ms, one.p999_ms, one.max_ms, one.cpu_s, cores, mib(one.rss_max_bytes)])
  }
  rows.splice(1, 0, rows[0].map((_, n) => (n ? '---:' : '---')))
  return rows.map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** From the empty server to the table. */
async function measure(set, server, threads) {
  const client = new Client(set.port, set.senders + set.uploaders)
  await server.ready(client)
  const users = []
  for (let n = 0; n < set.senders; n++) users.push(await client.register(`sender${n}`))
  const [lone, listener] = [await client.register('probe'), await client.register('listener')]
  const rooms = []
  for (const [n, user] of users.entries()) rooms.push([user, await client.room(user, users[(n + 1) % users.length])])
  const thread = new Worker(fileURLToPath(import.meta.url), {
    workerData: { port: set.port, user: lone, room: await client.room(lone, listener), perSecond: set.perSecond },
  })
  threads.push(thread)
  const sent = new Promise((done, failed) => thread.once('message', done).once('error', failed))
  sent.catch(() => {})

  const samples = []
  const times = { empty: [Date.now(), 0] }
  await watch(server, samples, 'empty', ({ at }) => at >= times.empty[0] + set.settle)
  // Begins with a slot, so that all lies in as few of them as can be.
  await watch(server, samples, 'empty', ({ at }) => at % set.slot < 1000)
  const began = Date.now()
  times.empty[1] = began
  const before = samples.at(-1)
  const firstEnd = began + set.lifetime
  let wrote
  const filling = fill(client, set, users, rooms, firstEnd - set.quiet).then((done) => (wrote = done))
  await Promise.race([filling, watch(server, samples, 'fill', () => wrote)])
  await filling
  times.fill = [began, wrote.last]
  say(`wrote ${wrote.events} events and ${mib(wrote.bytes)} MiB in ${((wrote.last - began) / 1000).toFixed(0)} s`)
  if (!wrote.complete) say('NOT ALL was written in time: set a longer LIFETIME')

  const settled = Math.min(wrote.last + set.settle, firstEnd)
  times.quiet = [settled, firstEnd]
  samples.peakFrom = wrote.last
  await watch(server, samples, 'quiet', ({ at }) => at >= firstEnd)
  const lastEdge = (Math.floor(wrote.last / set.slot) + 1) * set.slot + set.lifetime
  let [least, since] = [Infinity, Date.now()]
  await watch(server, samples, 'expiring', ({ at, journal, media }) => {
    const used = journal + media
    if (used < least - NOISE) [least, since] = [used, at]
    return at >= lastEdge + BACK_WITHIN_MS || (at >= Math.max(lastEdge, since) + STILL_MS)
  })
  const space = { journal: freed('journal', samples, lastEdge), media: freed('media', samples, lastEdge) }
  const backAfter = Math.max(0, space.journal.seconds_after_last_edge ?? Infinity, space.media.seconds_after_last_edge ?? Infinity)
  const end = Number.isFinite(backAfter) ? Math.min(lastEdge + backAfter * 1000, samples.at(-1).at) : samples.at(-1).at
  times.expiring = [firstEnd, end]
  times.after = [end, samples.at(-1).at]
  thread.postMessage('stop')
  const all = await sent
  client.agent.destroy()
  const phases = Object.entries(times).map(([name, span]) => phaseOf(name, span, all, samples))
  return {
    about: { at: new Date(began).toISOString(), cores: cpus().length, lifetime_s: set.lifetime / 1000, slot_s: set.slot / 1000 },
    wrote: { events: wrote.events, files: wrote.files, bytes: wrote.bytes, complete: wrote.complete },
    before: { journal_bytes: before.journal, media_bytes: before.media },
    edges: { first_end_s: (firstEnd - began) / 1000, last_edge_s: (lastEdge - began) / 1000 },
    space, phases,
    samples: samples.map((one) => ({ ...one, at: Number(((one.at - began) / 1000).toFixed(1)) })),
  }
}

function report(set, result) {
  const { space } = result
  const named = (name) => result.phases.find((phase) => phase.name === name)
  const problems = []
  if (!result.wrote.complete) problems.push('not all was written')
  if (result.phases.some((phase) => phase.failed)) problems.push('requests failed')
  for (const [what, one] of Object.entries(space)) {
    const when = one.seconds_after_last_edge
    say(`${what}: ${mib(result.before[`${what}_bytes`])} MiB before, ${mib(one.peak_bytes)} at most, ${mib(one.left_bytes)} left; free ${when} s after the last edge`)
    if (when === null || when * 1000 > BACK_WITHIN_MS) problems.push(`${what}: the disk is not back`)
  }
  if (result.before.media_bytes + 1048576 < space.media.left_bytes) problems.push('files are left')
  const [quiet, expiring] = [named('quiet'), named('expiring')]
  say(`p99 of PUT send: ${expiring.p99_ms} ms while everything expires, ${quiet.p99_ms} ms without; the longest ${expiring.max_ms} and ${quiet.max_ms} ms`)
  console.log(`\n${table(result)}\n`)
  writeFileSync(set.out, `${JSON.stringify({ ...result, problems }, null, 1)}\n`)
  say(`all of it: ${set.out}`)
  problems.forEach((problem) => say(`FAILED: ${problem}`))
  return problems.length === 0
}

async function main() {
  const set = settings(process.env)
  if (set.lifetime <= set.quiet) throw new Error('LIFETIME has to be longer than QUIET: something has to be written before')
  if (existsSync(set.work)) throw new Error(`${set.work} is there from before: move it away`)
  mkdirSync(set.base, { recursive: true })
  const { bavail, bsize } = statfsSync(set.base)
  const needs = 1.2 * set.media + 8192 * set.events
  if (bavail * bsize < needs) throw new Error(`${set.base} has ${mib(bavail * bsize)} MiB left, and ${mib(needs)} are needed`)
  const server = new Server(set)
  const threads = []
  const tidy = async () => {
    await Promise.all(threads.map((thread) => thread.terminate()))
    await server.end()
    rmSync(set.work, { recursive: true, force: true })
  }
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => tidy().finally(() => process.exit(130)))
  try {
    const result = await measure(set, server, threads)
    process.exitCode = report(set, result) ? 0 : 1
  } catch (error) {
    say(`FAILED: ${error.message}\n${server.log()}`)
    process.exitCode = 1
  } finally {
    await tidy()
  }
}

if (isMainThread) await main()
else await probe(workerData)
