# NVIDIA's runtimes of both generations, which stand beside the headers. A build that
# quietly did without one would test less than it says.
option(HAMI_RUNTIMES "Test with NVIDIA's runtimes of CUDA 12 and 13, shared and static" ON)

function(find_runtime variable include_dir file)
  get_filename_component(path "${include_dir}/../lib/${file}" ABSOLUTE)
  if(NOT HAMI_RUNTIMES)
    set(path "")
  elseif(NOT EXISTS "${path}")
    message(FATAL_ERROR "${path} is missing. `make packages` brings it; -DHAMI_RUNTIMES=OFF leaves its tests out.")
  endif()
  set(${variable} "${path}" PARENT_SCOPE)
endfunction()
