# Where things go; packaging/ lists nothing that is here. The configuration of an earlier installation is left as it is.

set(STENO_UNIT_DIR lib/systemd/system CACHE STRING "Folder of systemd's units")
set(STENO_ZSH_DIR ${CMAKE_INSTALL_DATADIR}/zsh/site-functions CACHE STRING "Folder of zsh's completions")

install(TARGETS steno RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS stenod RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS steno-recorder steno-assemble RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/steno)

# ---- documentation

file(GLOB STENO_MANUALS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[158])
foreach(MANUAL ${STENO_MANUALS})
  string(REGEX MATCH "[158]$" MANUAL_SECTION ${MANUAL})
  install(FILES ${MANUAL} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${MANUAL_SECTION})
endforeach()

# For administrators and those who use the API; docs/ARCHITECTURE.md and docs/DECISIONS.md are for who changes the source.
install(FILES docs/OPERATIONS.md docs/SECURITY.md docs/COMPLIANCE.md docs/CHANNEL-AES.md docs/MANIFEST.md docs/VERIFY.md
              docs/openapi.yaml docs/manifest.schema.json LICENSE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
# How to report a weakness, and how packages are checked; docs/SECURITY.md has the other one's name.
install(FILES SECURITY.md DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME REPORTING.md)
install(DIRECTORY conf/cron.d conf/systemd/stenod.service.d DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)

# What shells offer, as the built command prints it.
foreach(SHELL bash zsh fish)
  set(COMPLETION ${PROJECT_BINARY_DIR}/completion/steno.${SHELL})
  add_custom_command(
    OUTPUT ${COMPLETION}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/completion
    COMMAND steno completion ${SHELL} > ${COMPLETION}
    DEPENDS steno
    VERBATIM)
  list(APPEND STENO_COMPLETIONS ${COMPLETION})
endforeach()
add_custom_target(completion ALL DEPENDS ${STENO_COMPLETIONS})
set(COMPLETION ${PROJECT_BINARY_DIR}/completion/steno)
install(FILES ${COMPLETION}.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME steno)
install(FILES ${COMPLETION}.zsh DESTINATION ${STENO_ZSH_DIR} RENAME _steno)
install(FILES ${COMPLETION}.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

# ---- what other programs read

install(FILES conf/systemd/stenod.service conf/systemd/steno-record@.service conf/systemd/steno-record@.timer
        DESTINATION ${STENO_UNIT_DIR})
install(FILES conf/sysusers.d/steno.conf DESTINATION lib/sysusers.d)
install(FILES conf/tmpfiles.d/steno.conf DESTINATION lib/tmpfiles.d)
install(FILES conf/firewalld/steno.xml DESTINATION lib/firewalld/services)
install(FILES conf/prometheus/steno.rules.yml DESTINATION ${CMAKE_INSTALL_DATADIR}/steno/prometheus)
install(FILES conf/grafana/steno.json DESTINATION ${CMAKE_INSTALL_DATADIR}/steno/grafana)

# ---- the configuration

# file(INSTALL) puts DESTDIR before its destination by itself.
install(CODE "
  set(STENO_CONF \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_SYSCONFDIR}/steno/steno.conf\")
  if(NOT EXISTS \"\${STENO_CONF}\")
    file(INSTALL \"${PROJECT_SOURCE_DIR}/conf/steno.conf\" DESTINATION \"${CMAKE_INSTALL_FULL_SYSCONFDIR}/steno\"
         PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ)
  endif()")
