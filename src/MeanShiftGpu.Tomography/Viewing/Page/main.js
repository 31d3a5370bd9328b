// The page that the program serves: its data come from the program, and changes go back to it.
import { LiveSource } from "./sources.js";
import { Viewer } from "./viewer.js";

const root = document.getElementById("viewer");
try {
    const source = await LiveSource.open();
    document.title = source.volume.name;
    root.viewer = new Viewer(root, source);
} catch (error) {
    root.textContent = `The page cannot be shown: ${error.message}`;
}
