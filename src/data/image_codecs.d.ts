export declare const jpeg: WebAssembly.Module;
export declare const png: WebAssembly.Module;
export declare const webp: WebAssembly.Module;
