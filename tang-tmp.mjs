import { startTangd } from "/tmp/wt/agent/test/interop/tangd.ts";
const t = await startTangd(); console.log(t.url); setTimeout(()=>{},1e9);
process.on('SIGTERM', async()=>{await t[Symbol.asyncDispose](); process.exit()});
