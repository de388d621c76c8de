# SPDX-License-Identifier: GPL-2.0
"""The packet filter's library, called here: starting its program for each of thousands of commands takes far longer."""

import ctypes

AS_JSON = 1 << 4


def library():
    """libnftables with the types of what is called."""
    lib = ctypes.CDLL("libnftables.so.1")
    lib.nft_ctx_new.restype = ctypes.c_void_p
    lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error", "nft_ctx_free"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(lib, name).argtypes = [ctypes.c_void_p]
        getattr(lib, name).restype = ctypes.c_char_p
    lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return lib


LIBRARY = library()


def nft(text, flags=0):
    """Run commands in the network namespace of the calling thread, all or none; return what they print."""
    context = LIBRARY.nft_ctx_new(0)
    try:
        LIBRARY.nft_ctx_buffer_output(context)
        LIBRARY.nft_ctx_buffer_error(context)
        LIBRARY.nft_ctx_output_set_flags(context, flags)
        if LIBRARY.nft_run_cmd_from_buffer(context, text.encode()):
            raise RuntimeError(f"nft: {LIBRARY.nft_ctx_get_error_buffer(context).decode()} in {text}")
        return LIBRARY.nft_ctx_get_output_buffer(context).decode()
    finally:
        LIBRARY.nft_ctx_free(context)
