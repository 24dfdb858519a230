# Where things go. The configuration of an earlier installation is left as it is.

install(TARGETS steno RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS stenod RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS steno-recorder steno-assemble RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/steno)

file(GLOB STENO_MANUALS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[158])
foreach(MANUAL ${STENO_MANUALS})
  string(REGEX MATCH "[158]$" MANUAL_SECTION ${MANUAL})
  install(FILES ${MANUAL} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${MANUAL_SECTION})
endforeach()

install(DIRECTORY conf/cron.d conf/systemd DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES docs/openapi.yaml docs/manifest.schema.json LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES conf/systemd/stenod.service DESTINATION lib/systemd/system)
install(CODE "
  set(STENO_CONF \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_SYSCONFDIR}/steno/steno.conf\")
  if(NOT EXISTS \"\${STENO_CONF}\")
    file(INSTALL \"${PROJECT_SOURCE_DIR}/conf/steno.conf\" DESTINATION \"\$ENV{DESTDIR}${CMAKE_INSTALL_FULL_SYSCONFDIR}/steno\")
  endif()")
