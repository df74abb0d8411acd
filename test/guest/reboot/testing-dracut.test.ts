import { testKexec } from "../harness/reboot-kexec.ts";

testKexec("Debian testing, dracut", { suite: "forky", generator: "dracut", compression: "zstd" }, "dracut-systemd");
