import { testOneshot } from "./firmware-once.ts";

testOneshot("systemd-boot");
