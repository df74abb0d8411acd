import { testSetUpByDracut } from "../harness/set-up.ts";

testSetUpByDracut("forky");
