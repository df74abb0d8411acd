import { testOneshot } from "../harness/firmware-once.ts";

testOneshot("systemd-boot");
